"""Training: recipes, epochs, and what a training leaves on disk."""
