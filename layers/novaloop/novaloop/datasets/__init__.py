"""Datasets: from what a user uploads to the exact rows that Nova's jobs read."""
