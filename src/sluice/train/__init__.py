"""Reference training that proves the data: the built-in encoder. Needs torch (`pip install 'sluice[train]'`)."""
