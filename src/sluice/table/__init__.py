"""Schemas, refs, units, atomic commits, DuckDB views: knows nothing of recipes."""
