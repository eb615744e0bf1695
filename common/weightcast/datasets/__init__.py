"""Data sets: samples in splits, arrays pinned by digest, fetched from any source into the cache."""
