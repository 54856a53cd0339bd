"""Recipes, requests and their validation: what would run, checked before anything is spent."""
