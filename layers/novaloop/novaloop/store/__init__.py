"""The experiments table: one item collection per experiment, on PynamoDB."""
