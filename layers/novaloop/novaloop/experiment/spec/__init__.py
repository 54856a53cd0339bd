"""What a person may ask for in `experiment.yaml`."""
