"""The protocol of a transmission against a model of it: any call at any time, in any order."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from driver.calls import Caller
from driver.models import Encoded, ModelOf, encoded
from driver.services import Driver
from faults.figures import Figure, Times
from faults.history import pipeline_digest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from safetensors.numpy import load_file, save_file

from weightcast.channels.awgn import AWGN
from weightcast.coding.paper.sign_protection import SignProtection
from weightcast.setup import Setup
from weightcast.wire.header import PART_SYMBOLS

SETUP = Setup(scheme=SignProtection(), channel=AWGN(std=0.3))
SEEDS = MODELS = st.integers(0, 1)
KEYS = st.sampled_from(["a", "b", None])


@dataclass
class Known:
    """What a receiver must know of one transmission; of bytes, from which of the models."""

    seed: int
    parts: dict[int, int] = field(default_factory=dict)
    side: int | None = None
    is_complete: bool = False


class Protocol(RuleBasedStateMachine):
    """Calls a link at random and compares each answer with what the rules demand.

    There are two headers, which differ in the seed of the noise, and two models of the same layout,
    whose parts and side information may come to either.
    """

    paths = Bundle("paths")

    def __init__(
        self, link: Caller, sent: list[Encoded], digest: Callable[[int, int], str]
    ) -> None:
        super().__init__()
        self._link, self._sent, self._digest = link, sent, digest
        self._known: dict[str, Known] = {}
        self._keys: dict[str | None, str] = {}
        self._run = secrets.token_hex(8)

    def teardown(self) -> None:
        for path in self._known:
            self._link.delete(path)

    @rule(target=paths, seed=SEEDS, key=KEYS)
    def create(self, seed: int, key: str | None) -> str:
        fields = {} if key is None else {"idempotency_key": f"{self._run} {key}"}
        header = self._sent[seed].header
        answer = self._link.create(header, **fields)
        before = self._keys.get(key)
        if before is not None and self._known[before].seed != seed:
            assert answer.status_code == 409
            return before
        assert answer.status_code == 201
        path = str(answer.headers["location"])
        assert before in (None, path)
        self._known.setdefault(path, Known(seed))
        if key is not None:
            self._keys[key] = path
        return path

    @rule(path=paths, n=st.sampled_from([0, 1, 1, 2]), model=MODELS)
    def put_part(self, path: str, n: int, model: int) -> None:
        body = self._sent[model].parts[min(n, 1)]
        answer = self._link.put_part(path, n, body)
        here = self._known.get(path)
        if n == 2:  # There is no such part; a link that knows the header need not ask.
            assert answer.status_code in ((404, 422) if here is None else (422,))
        elif here is None:
            assert answer.status_code == 404
        elif here.parts.setdefault(n, model) == model:
            assert answer.status_code == 204
        else:
            assert answer.status_code == 409

    @rule(path=paths, is_same=st.booleans())
    def put_parts_again(self, path: str, is_same: bool) -> None:
        here = self._known.get(path, Known(0))
        for n, model in here.parts.items():
            self.put_part(path, n, model if is_same else 1 - model)

    @rule(path=paths, model=MODELS)
    def put_side(self, path: str, model: int) -> None:
        answer = self._link.put_side(path, self._sent[model].side)
        here = self._known.get(path)
        if here is None:
            assert answer.status_code == 404
        elif here.side in (None, model):
            assert answer.status_code == 204
            here.side = model
        else:
            assert answer.status_code == 409

    @rule(path=paths)
    def put_broken_side(self, path: str) -> None:
        answer = self._link.put_side(path, b"\0" * 16)
        here = self._known.get(path)
        expected = 404 if here is None else 409 if here.is_complete else 422
        assert answer.status_code == expected

    @rule(path=paths)
    def complete(self, path: str) -> None:
        answer = self._link.complete(path)
        here = self._known.get(path)
        if here is None:
            assert answer.status_code == 404
        elif len(here.parts) == 2 and here.side is not None:
            assert answer.status_code == 202
            here.is_complete = True
        else:
            assert answer.status_code == 409
            assert answer.json()["missing_parts"] == [n for n in (0, 1) if n not in here.parts]
            assert answer.json()["missing_side"] == (here.side is None)

    @rule(path=paths)
    def wait_for_the_end(self, path: str) -> None:
        here = self._known.get(path)
        if here is not None and here.is_complete:
            found = self._link.end_of(path)
            assert found["state"] == "done"
            assert here.side is not None
            models = {*here.parts.values(), here.side}
            if len(models) == 1:
                right = self._digest(models.pop(), here.seed)
                assert found["report"]["weights_digest"] == right

    @rule(path=consumes(paths))
    def delete(self, path: str) -> None:
        here = self._known.pop(path, None)
        assert self._link.delete(path).status_code == (404 if here is None else 204)
        self._keys = {key: other for key, other in self._keys.items() if other != path}

    @invariant()
    def all_that_was_acknowledged_is_there(self) -> None:
        for path, here in self._known.items():
            found = self._link.there(path)
            assert found == {"parts": sorted(here.parts), "side": here.side is not None}
            state = self._link.get(path).json()["state"]
            is_open = state in ("created", "receiving")
            assert is_open != here.is_complete


def with_weights_reversed(path: Path) -> Path:
    """Write a model with the same weights in other places, and return its path."""
    tensors = load_file(path)
    for name in ("layer.weight", "head.weight"):
        tensors[name] = tensors[name].ravel()[::-1].reshape(tensors[name].shape).copy()
    save_file(tensors, path.with_suffix(".reversed"))
    return path.with_suffix(".reversed")


def test_every_order_of_calls_is_answered_as_the_rules_demand(
    driver: Driver, times: Times, figure: Figure, model_of: ModelOf, tmp_path: Path
) -> None:
    first = model_of(PART_SYMBOLS + 1000)
    models = [first, with_weights_reversed(first)]

    @cache
    def digest(model: int, seed: int) -> str:
        return pipeline_digest(models[model], replace(SETUP, seed=seed))

    sent = [
        encoded(path, SETUP.scheme.name, seed=seed, std=0.3) for seed, path in enumerate(models)
    ]
    runs, steps = times(6, 60), times(25, 40)
    with driver.join(tmp_path) as own:

        class Here(Protocol):
            def __init__(self) -> None:
                super().__init__(own.link, sent, digest)

        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=runs,
                stateful_step_count=steps,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    figure(3, f"{runs} histories of up to {steps} random calls: every answer as the model says")
