"""What is found in a dataset, beyond its rows."""
