"""The judge sees what is lost, doubled and torn; or it would be worth nothing."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from faults.history import Recorder, Verdict, judge

KEY = "only"


@pytest.fixture
def past(
    joined: Any, encoded: Any, put: Any, finished: Any, small_path: Path, tmp_path: Path
) -> Any:
    """A finished transmission: (recorder, services, id, digest of its weights)."""
    sent = encoded(small_path, channel="noiseless")
    with joined(tmp_path) as own:
        recorder = Recorder(own.road)
        with httpx.Client(transport=recorder, base_url="http://test") as client:
            answer = put(
                client, "/transmissions", sent.header.to_bytes(), "POST", idempotency_key=KEY
            )
            path = answer.headers["location"]
            put(client, f"{path}/parts/0", sent.parts[0])
            put(client, f"{path}/side", sent.side)
            client.post(f"{path}/complete")
            report = finished(client, path)["report"]
            yield recorder, own, path.rpartition("/")[2], report["weights_digest"]


def judged(past: Any, digest: str | None = None) -> Verdict:
    recorder, own, _, right = past
    return judge(recorder.calls, own.data, own.receiver, lambda key: digest or right)


def test_a_history_without_faults_is_in_order(past: Any) -> None:
    assert judged(past) == Verdict()
    assert str(judged(past)) == "0 lost, 0 doubled, 0 torn"


def test_what_was_acknowledged_and_is_gone_is_lost(past: Any) -> None:
    _, own, id_, _ = past
    (part,) = (own.data / "transmissions" / id_ / "parts").iterdir()
    part.unlink()
    assert judged(past).lost == [f"parts/0 of {id_}"]
    own.receiver.delete(f"/transmissions/{id_}")
    assert judged(past).lost == [f"transmission {id_}"]


def test_a_second_transmission_is_a_doubled_one(past: Any) -> None:
    _, own, _, _ = past
    (own.data / "transmissions" / ("0" * 32)).mkdir()
    assert judged(past).doubled == ["2 transmissions of 1 keys"]


def test_other_weights_are_torn(past: Any) -> None:
    _, own, id_, _ = past
    assert judged(past, hashlib.sha256(b"other").hexdigest()).torn == [id_]
    model = own.data / "transmissions" / id_ / "model.safetensors"
    raw = bytearray(model.read_bytes())
    raw[-3000] ^= 1
    model.write_bytes(raw)
    assert judged(past).torn == [id_]
