"""Sluice: synth."""
