"""Adapters for models, lazily loaded and named by hash."""
