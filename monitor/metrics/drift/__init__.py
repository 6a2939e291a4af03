"""Drift: how far a column's distribution is from the reference's, by one file for each statistic."""
