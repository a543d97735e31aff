"""Sluice: pack."""
