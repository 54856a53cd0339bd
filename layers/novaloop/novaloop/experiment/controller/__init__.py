"""Decides, without I/O, what an experiment does next."""
