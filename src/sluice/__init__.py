"""Sluice: a data engine for vision-language models."""
