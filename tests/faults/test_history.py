"""The judge sees what is lost, doubled and torn; or it would be worth nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from driver.calls import Caller
from driver.joined import Services
from driver.models import encoded
from driver.services import Driver
from faults.history import Recorder, Verdict, judge

pytestmark = pytest.mark.slow

KEY = "only"


class Past(NamedTuple):
    """A finished transmission, with the digest of its weights."""

    recorder: Recorder
    services: Services
    id_: str
    digest: str


@pytest.fixture
def past(driver: Driver, small_path: Path, tmp_path: Path) -> Iterator[Past]:
    sent = encoded(small_path, channel="noiseless")
    with driver.join(tmp_path) as own:
        recorder = Recorder(own.road)
        with Caller(transport=recorder, base_url="http://test") as client:
            answer = client.create(sent.header, idempotency_key=KEY)
            path = answer.headers["location"]
            client.put_part(path, 0, sent.parts[0])
            client.put_side(path, sent.side)
            client.complete(path)
            report = client.end_of(path)["report"]
            yield Past(recorder, own, path.rpartition("/")[2], report["weights_digest"])


def judged(past: Past, digest: str | None = None) -> Verdict:
    recorder, own, _, right = past
    return judge(recorder.calls, own.data, own.receiver, lambda key: digest or right)


def test_a_history_without_faults_is_in_order(past: Past) -> None:
    assert judged(past) == Verdict()
    assert str(judged(past)) == "0 lost, 0 doubled, 0 torn"


def test_what_was_acknowledged_and_is_gone_is_lost(past: Past) -> None:
    _, own, id_, _ = past
    (part,) = (own.data / "transmissions" / id_ / "parts").iterdir()
    part.unlink()
    assert judged(past).lost == [f"parts/0 of {id_}"]
    own.receiver.delete(f"/transmissions/{id_}")
    assert judged(past).lost == [f"transmission {id_}"]


def test_a_second_transmission_is_a_doubled_one(past: Past) -> None:
    _, own, _, _ = past
    (own.data / "transmissions" / ("0" * 32)).mkdir()
    assert judged(past).doubled == ["2 transmissions of 1 keys"]


def test_other_weights_are_torn(past: Past) -> None:
    _, own, id_, _ = past
    assert judged(past, hashlib.sha256(b"other").hexdigest()).torn == [id_]
    model = own.data / "transmissions" / id_ / "model.safetensors"
    raw = bytearray(model.read_bytes())
    raw[-3000] ^= 1
    model.write_bytes(raw)
    assert judged(past).torn == [id_]
