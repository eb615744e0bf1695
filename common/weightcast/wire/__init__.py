"""A transmission as bytes: `docs/wire-format.md` is the specification, this its one implementation."""
