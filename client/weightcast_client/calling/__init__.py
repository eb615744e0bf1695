"""Calling a link or a receiver over HTTP: patiently, with digests."""
