"""Coding schemes: from weights to symbols and back."""

from typing import Any

from weightcast.coding.adaptive_mapping import AdaptiveMapping
from weightcast.coding.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.base import Arrived, Plan, Scheme, Sent, tensor_pieces
from weightcast.coding.sign_protection import SignProtection
from weightcast.coding.unprotected import Unprotected
from weightcast.registry import Kind

SCHEMES: Kind[Scheme[Any]] = Kind(
    "scheme",
    ("encode", "decode", "plan", "n_symbols", "symbols_of", "plan_type", "side_names"),
    (Unprotected, SignProtection, AdaptiveMapping, AdaptiveRedundancy),
)
DEFAULT_SCHEME = AdaptiveRedundancy.name

__all__ = ["DEFAULT_SCHEME", "SCHEMES", "Arrived", "Plan", "Scheme", "Sent", "tensor_pieces"]
