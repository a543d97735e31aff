"""Formats out: copies kept samples into shards, byte for byte, and proves that they are there."""
