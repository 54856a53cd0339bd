"""Measuring answers: metrics with their errors, comparisons with evidence, and the gate."""
