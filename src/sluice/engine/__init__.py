"""Sluice: engine."""
