"""Sluice: corpus."""
