"""Measures: units, intervals, the capacity of a channel, and what a transmission costs."""
