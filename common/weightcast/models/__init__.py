"""Model files: safetensors, taken apart into weights and carried tensors; the shipped models."""
