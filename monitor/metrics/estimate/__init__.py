"""Performance estimated without labels: one file a metric."""
