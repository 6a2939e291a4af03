"""What results mean: alert rules with their states, and the decision to retrain. Pure functions only."""
