"""Puts use cases and adapters together: one module for each function, which loads no more."""
