"""Whether what was asked for can be done."""
