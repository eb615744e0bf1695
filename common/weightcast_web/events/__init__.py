"""Events: what changes, for those who watch, as streams that end at shutdown."""
