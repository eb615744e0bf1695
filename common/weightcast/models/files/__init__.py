"""The files of a model: where they lie, what they hold, and how a new one is written."""
