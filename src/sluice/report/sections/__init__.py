"""The sections of the report: from gathered facts to HTML, one subject a file."""
