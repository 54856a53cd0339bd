"""Rewards for reinforcement fine-tuning; the standard library and this package only."""
