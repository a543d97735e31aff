"""Schemas, refs, units, atomic commits, columns as arrays, DuckDB views: knows nothing of recipes."""
