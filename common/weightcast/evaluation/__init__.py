"""Evaluation: logits and accuracy of a network, fast on a CPU; most modules import torch."""
