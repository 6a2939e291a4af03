"""Fairness: rates of each group of a sensitive attribute, and the gaps between groups."""
