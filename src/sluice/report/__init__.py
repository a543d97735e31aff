"""Sluice: report."""
