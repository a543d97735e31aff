"""Streaming packed samples into training: an order that is a pure function, so that it resumes exactly."""
