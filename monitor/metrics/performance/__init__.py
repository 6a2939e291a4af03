"""Performance: how right the predictions were, once labels are known."""
