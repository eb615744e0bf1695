"""Tasks: what accuracy means for a model."""
