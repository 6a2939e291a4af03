"""Model Monitor: a background service that watches deployed machine-learning models."""

__version__ = "0.1.0"
