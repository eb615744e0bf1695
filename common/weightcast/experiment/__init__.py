"""Experiments: runs of one setup each, sweeps of many, and the file of their results."""
