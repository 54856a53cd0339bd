"""What an experiment costs, and what it may cost."""
