"""The history of a sender's calls, and whether the receiver keeps what it has acknowledged.

A call that was answered with success is a promise. One that failed may have had its effect or not:
it promises nothing, but it may not have had its effect twice.
"""

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from driver.calls import Caller

from weightcast.models.weights import open_model
from weightcast.pipeline import transmit
from weightcast.setup import Setup


@dataclass(frozen=True, slots=True)
class Call:
    """One call and its answer; status 0 is none."""

    method: str
    path: str
    key: str | None
    status: int
    answer: bytes

    @property
    def is_acknowledged(self) -> bool:
        """Whether it was a success."""
        return 200 <= self.status < 300


class Recorder(httpx.BaseTransport):
    """Notes every call that passes and how it ended."""

    def __init__(self, road: httpx.BaseTransport) -> None:
        self._road = road
        self._lock = threading.Lock()
        self.calls: list[Call] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a call on and note it; answers to POST are read, others stream by."""
        status, answer = 0, b""
        try:
            response = self._road.handle_request(request)
            if request.method == "POST":
                answer = response.read()
            status = response.status_code
        finally:
            key = request.headers.get("idempotency-key")
            with self._lock:
                self.calls.append(Call(request.method, request.url.path, key, status, answer))
        return response

    def close(self) -> None:
        """Close the road."""
        self._road.close()


@dataclass(slots=True)
class Verdict:
    """What a history shows; each entry names what is wrong with which transmission.

    Args:
        lost: acknowledged, but not there.
        doubled: one key, several transmissions.
        torn: weights that are not those of the pipeline.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.torn)} torn"


def judge(
    calls: list[Call], data: Path, receiver: Caller, digest_of: Callable[[str], str]
) -> Verdict:
    """Compare a history with what the receiver has in the end.

    Args:
        calls: all calls of all senders, on a receiver that had no transmissions before.
        data: folder of the receiver.
        receiver: to ask it.
        digest_of: SHA-256 of the weights that the pipeline receives, by idempotency key.
    """
    verdict = Verdict()
    ids = _ids_by_key(calls)
    verdict.doubled += [f"{key}: {found}" for key, found in ids.items() if len(found) > 1]
    folders = {path.name for path in (data / "transmissions").iterdir()}
    tried = {call.key for call in calls if call.key is not None}
    if len(folders) > len(tried):
        verdict.doubled.append(f"{len(folders)} transmissions of {len(tried)} keys")
    keys = {id_: key for key, found in ids.items() for id_ in found}
    for id_ in keys:
        answer = receiver.get(f"/transmissions/{id_}")
        if answer.status_code != 200:
            verdict.lost.append(f"transmission {id_}")
            continue
        there = receiver.get(f"/transmissions/{id_}/parts").json()
        for what in _acknowledged(calls, id_):
            if not _is_there(what, there, answer.json()["state"]):
                verdict.lost.append(f"{what} of {id_}")
        if answer.json()["state"] == "done":
            found = weights_digest(data / "transmissions" / id_ / "model.safetensors")
            if not found == answer.json()["report"]["weights_digest"] == digest_of(keys[id_]):
                verdict.torn.append(id_)
    return verdict


def pipeline_digest(path: Path, setup: Setup) -> str:
    """Return the SHA-256 of the weights that arrive without services and faults."""
    with open_model(path) as model:
        received = transmit(model, setup, model.layout.weights)
    return hashlib.sha256(received.data).hexdigest()


def weights_digest(path: Path) -> str:
    """Return the SHA-256 of the weights in a model file."""
    with open_model(path) as model:
        return hashlib.sha256(model[0 : len(model)].data).hexdigest()


def _ids_by_key(calls: list[Call]) -> Mapping[str, set[str]]:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for call in calls:
        if call.key is not None and call.is_acknowledged:
            ids[call.key].add(json.loads(call.answer)["id"])
    return ids


def _acknowledged(calls: list[Call], id_: str) -> set[str]:
    """Return what was acknowledged of a transmission: `parts/3`, `side`, `complete`."""
    start = f"/transmissions/{id_}/"
    changes = [call for call in calls if call.method in ("PUT", "POST") and call.is_acknowledged]
    return {call.path.removeprefix(start) for call in changes if call.path.startswith(start)}


def _is_there(what: str, there: dict[str, object], state: str) -> bool:
    """Whether the receiver has it; after `complete` the transmission must come to its end."""
    if what == "complete":
        return state == "done"
    if what == "side":
        return there["side"] is True
    parts = there["parts"]
    assert isinstance(parts, list)
    return int(what.partition("/")[2]) in parts
