"""Receiving: what arrives is checked and kept before it is acknowledged."""
