"""Coding schemes: from weights to symbols and back."""

from typing import Any

from weightcast.coding.adaptive_mapping import AdaptiveMapping
from weightcast.coding.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.base import Plan, Scheme, Sent
from weightcast.coding.sign_protection import SignProtection
from weightcast.coding.unprotected import Unprotected

SCHEMES: dict[str, type[Scheme[Any]]] = {
    "unprotected": Unprotected,
    "sign-protection": SignProtection,
    "adaptive-mapping": AdaptiveMapping,
    "adaptive-redundancy": AdaptiveRedundancy,
}
DEFAULT_SCHEME = "adaptive-redundancy"

__all__ = ["DEFAULT_SCHEME", "SCHEMES", "Plan", "Scheme", "Sent"]
