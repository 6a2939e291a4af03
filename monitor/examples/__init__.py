"""Worked examples that ship with the package; see ``model-monitor demo``."""
