"""Analog transmission of neural-network weights over a noisy link."""

__version__ = "0.1.0"
