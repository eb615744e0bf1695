"""Runs: rows of results before they are run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

from weightcast.models.naming import matches
from weightcast.registry import Spec
from weightcast.setup import Setup


class RunFields(TypedDict):
    """Fields of a row of results that say which run it is of."""

    model: str
    model_digest: str
    setup: Spec
    noisy: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """Run: everything that decides the numbers of one row.

    Args:
        model: name of a shipped model, or a file.
        model_digest: SHA-256 of its file, hexadecimal: another file is another run.
        setup: how it is sent.
        noisy: pattern of the tensors on which noise is let through, see `is_noisy`.
    """

    model: str
    model_digest: str
    setup: Setup
    noisy: str = "*"

    def is_noisy(self, tensor: str) -> bool:
        """Return whether noise is let through on a tensor of this name, see `naming.matches`."""
        return matches(tensor, self.noisy)

    def row(self) -> RunFields:
        """Return the fields of its row of results."""
        return {
            "model": self.model,
            "model_digest": self.model_digest,
            "setup": self.setup.spec(),
            "noisy": self.noisy,
        }

    @cached_property
    def key(self) -> str:
        """What tells this run from all others."""
        return json.dumps(self.row(), sort_keys=True)


def run_of(row: Mapping[str, Any]) -> Run:
    """Return the run of a row of results, in today's form or in an earlier one.

    Raises:
        KeyError, TypeError, UnknownNameError, ParameterError: not a row of results.
    """
    texts = {
        "model": row["model"],
        "model_digest": row["model_digest"],
        "noisy": row.get("noisy", "*"),
    }
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a text, got {text!r}")
    setup = Setup.from_spec(row["setup"] if "setup" in row else _before_setups(row))
    return Run(setup=setup, **texts)


def _before_setups(row: Mapping[str, Any]) -> Spec:
    """Return the setup of a row from when its fields stood side by side, and CIFAR-10 alone was."""
    params = dict(row["params"])
    limit = params.pop("limit", None)
    return {
        "scheme": {"name": row["scheme"]} | params,
        "decoder": "inversion" if limit is None else {"name": "clipped", "limit": limit},
        "channel": {"name": row["channel"]} | row["channel_params"],
        "seed": row["seed"],
        "draw": row["stream"],
        "task": "cifar10",
        "split": row["split"],
        "n_samples": row["n_images"],
    }
