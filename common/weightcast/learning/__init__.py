"""Models, data and evaluation; importing this package does not import torch."""
