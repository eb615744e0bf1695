"""Noise: counter-based Gaussian numbers, in plain numpy and compiled."""
