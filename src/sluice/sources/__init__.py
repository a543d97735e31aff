"""Sluice: sources."""
