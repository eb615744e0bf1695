"""Coding schemes: from weights to symbols and back."""

from typing import Any

from weightcast.coding.base import Arrived, Plan, Scheme, Sent, tensor_pieces
from weightcast.coding.paper.adaptive_mapping import AdaptiveMapping
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.paper.sign_protection import SignProtection
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.registry import Kind

SCHEMES: Kind[Scheme[Any]] = Kind(
    "scheme",
    ("encode", "decode", "plan", "n_symbols", "symbols_of", "plan_type", "side_names"),
    (Unprotected, SignProtection, AdaptiveMapping, AdaptiveRedundancy),
)
DEFAULT_SCHEME = AdaptiveRedundancy.name

__all__ = ["DEFAULT_SCHEME", "SCHEMES", "Arrived", "Plan", "Scheme", "Sent", "tensor_pieces"]
