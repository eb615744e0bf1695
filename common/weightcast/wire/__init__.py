"""A transmission as bytes: the one implementation of `docs/wire-format.md`."""
