"""Sluice: run."""
