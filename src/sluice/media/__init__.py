"""Decode images: bounded in memory and time. Knows nothing of recipes."""
