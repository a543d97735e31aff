"""The measures: image, text, rights. They never open files: they get a batch that offers views."""
