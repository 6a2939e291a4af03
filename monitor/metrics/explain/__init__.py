"""Explanation metrics: what the predictions rest on, and how far that is from the reference."""
