"""The receiver's API: what it keeps, what it refuses, and that a refusal costs nothing else."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from driver.calls import AWGN, is_problem
from driver.joined import Services
from driver.models import Encoded, changed_setup, encoded
from driver.services import Driver
from safetensors.numpy import load, save_file

from weightcast.wire.symbols import STAMP

HEADER_OF_VERSION_1 = (
    b'{"version":1,"model":"golden","weights":[["w","F32",[2,4]]],"carried":[["b","F32",[1]]],'
    b'"scheme":"adaptive-redundancy","params":{"n_large":2,"large_fraction":0.0006268164959327689,'
    b'"r_small":1,"r_large":3,"limit":null},"plan":{"n_weights":8,"n_large":2,"low":0.0,'
    b'"threshold":1.0,"high":2.0,"last_tie":7},"channel":"awgn","channel_params":{"std":0.5},'
    b'"seed":1,"stream":2,"n_weights":8,"n_symbols":12,"evaluate":false,"n_images":null}'
)


@pytest.fixture
def sent(model_path: Path) -> Encoded:
    """A transmission with both kinds of side information, in three parts."""
    return encoded(model_path, "adaptive-redundancy")


def test_a_key_makes_opening_a_transmission_repeatable(services: Services, sent: Encoded) -> None:
    text = sent.header.to_bytes()
    first, again = (services.receiver.create(text, idempotency_key="k1") for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == f"/transmissions/{first.json()['id']}"
    other = services.receiver.create(text, idempotency_key="k2")
    assert other.json()["id"] != first.json()["id"]
    changed = changed_setup(sent.header, seed=99).to_bytes()
    answer = services.receiver.create(changed, idempotency_key="k1")
    assert is_problem(answer, 409, "idempotency-key")
    long = services.receiver.create(text, idempotency_key="k" * 256)
    assert is_problem(long, 400, "idempotency-key")
    folders = {path.name for path in (services.data / "transmissions").iterdir()}
    rows = services.receiver.listed()
    assert folders == {row["id"] for row in rows}


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        (b"", 422, "format-error"),
        (b"nonsense", 422, "format-error"),
        (b"\xff\xfe{}", 422, "format-error"),
        (b"[" * 10_000, 422, "format-error"),
        (b"[]", 422, "format-error"),
        (b'{"version": 2}', 422, "format-error"),
        (b'{"version": 3}', 422, "format-error"),
        (b'{"version": 2, "version": 2}', 422, "format-error"),
        (b"{" + b" " * (1 << 24), 413, "too-long"),
    ],
)
def test_what_is_no_header_is_refused(
    text: bytes, status: int, kind: str, services: Services
) -> None:
    assert is_problem(services.receiver.create(text), status, kind)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"n_symbols": 10}, "format-error", "n_symbols is 10, scheme and plan give"),
        ({"n_weights": 10}, "format-error", "n_weights is 10, the shapes hold 2300000"),
        ({"setup": []}, "format-error", "setup"),
        ({"setup": {}}, "parameter-error", "setup needs the param 'channel'"),
        ({"extra": 1}, "format-error", "extra"),
    ],
)
def test_a_header_that_promises_the_impossible_is_refused(
    change: dict[str, Any], kind: str, says: str, services: Services, sent: Encoded
) -> None:
    text = json.dumps(json.loads(sent.header.to_bytes()) | change).encode()
    answer = services.receiver.create(text)
    assert is_problem(answer, 422, kind)
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"scheme": "adaptve"}, "unknown-name", "no scheme 'adaptve'; known: adaptive-mapping, "),
        ({"decoder": "oracle"}, "unknown-name", "no decoder 'oracle'; known: clipped, half-normal"),
        ({"channel": "fog"}, "unknown-name", "no channel 'fog'; known: awgn, cascade, "),
        ({"task": "chess"}, "unknown-name", "no task 'chess'; known: cifar10, mnist"),
        ({"channel": {"name": "awgn"}}, "parameter-error", "channel 'awgn' needs the param 'std'"),
        (
            {"channel": {"name": "awgn", "std": -1}},
            "parameter-error",
            "std must be in 0 .. 1e+06, got -1",
        ),
        (
            {"channel": {"name": "awgn", "std": "0.1"}},
            "parameter-error",
            "must be a number, got '0.1'",
        ),
        (
            {"channel": {"name": "cascade", "stages": [{"name": "fog"}]}},
            "unknown-name",
            "no channel 'fog'",
        ),
        (
            {"scheme": {"name": "adaptive-redundancy", "r_large": 0}},
            "parameter-error",
            "r_large must be in 1 .. 1000, got 0",
        ),
        ({"scheme": "unprotected"}, "parameter-error", "plan of 'unprotected' has no param"),
        ({"seed": 2**64}, "parameter-error", "seed must be in 0 .. 2**64 - 1"),
        ({"seed": -1}, "parameter-error", "seed must be in 0 .. 2**64 - 1, got -1"),
        ({"draw": -1}, "parameter-error", "draw must be in 0 .. 2**64 - 1, got -1"),
        ({"split": "exam"}, "parameter-error", "'split', must be one of "),
        (
            {"task": "cifar10", "n_samples": 10_001},
            "parameter-error",
            "n_samples must be 1 .. 10000 for test, got 10001",
        ),
        ({"stream": 1}, "parameter-error", "setup has no param 'stream'; known: channel, "),
    ],
)
def test_a_header_whose_setup_there_cannot_be_is_refused(
    change: dict[str, Any], kind: str, says: str, services: Services, sent: Encoded
) -> None:
    text = changed_setup(sent.header, **change).to_bytes()
    answer = services.receiver.create(text)
    assert is_problem(answer, 422, kind)
    assert says in answer.json()["detail"]


def test_a_header_of_version_1_is_refused_in_one_line_that_says_so(services: Services) -> None:
    for hop in (services.receiver, services.link):
        answer = hop.create(HEADER_OF_VERSION_1)
        assert is_problem(answer, 422, "format-error")
        assert answer.json()["detail"] == "the header has the version 1; known: 2"


def test_a_model_that_is_not_its_tasks_fails_with_the_reason(
    services: Services, small_path: Path
) -> None:
    sent = encoded(small_path, channel="noiseless")
    path = services.receiver.open(changed_setup(sent.header, task="cifar10", n_samples=10))
    services.receiver.put_part(path, 0, sent.parts[0])
    services.receiver.put_side(path, sent.side)
    assert services.receiver.complete(path).status_code == 202
    found = services.receiver.end_of(path)
    assert (found["state"], found["report"]) == ("failed", None)
    assert found["error"]["kind"] == "ModelError"
    assert found["error"]["detail"].startswith("not the tensors of cifar10: 'conv1.weight' is")


@pytest.mark.slow
def test_thousands_of_carried_tensors_arrive(services: Services, tmp_path: Path) -> None:
    tensors: dict[str, npt.NDArray[np.float32]] = {
        f"layers.{i}.norm.weight": np.full(1, i, np.float32) for i in range(20_000)
    }
    tensors["w"] = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    save_file(tensors, tmp_path / "many.safetensors")
    sent = encoded(tmp_path / "many.safetensors", channel="noiseless")
    assert len(sent.side) > 1 << 20
    path = services.receiver.deliver_all(sent)
    assert services.receiver.end_of(path)["state"] == "done"
    arrived = load(services.receiver.get(f"{path}/model").content)
    assert len(arrived) == len(tensors)
    assert arrived["layers.19999.norm.weight"] == 19_999


def test_a_transmission_is_received_decoded_and_handed_out(
    services: Services, sent: Encoded
) -> None:
    receiver = services.receiver
    path = receiver.open(sent.header)
    assert receiver.get(path).json()["state"] == "created"
    assert is_problem(receiver.get(f"{path}/model"), 409, "not-decoded")
    for n in (2, 0):
        assert receiver.put_part(path, n, sent.parts[n], **AWGN).status_code == 204
    assert receiver.there(path) == {"parts": [0, 2], "side": False}
    answer = receiver.complete(path)
    assert is_problem(answer, 409, "incomplete")
    assert answer.json()["missing_parts"] == [1]
    assert answer.json()["missing_side"] is True
    assert receiver.get(path).json()["state"] == "receiving"
    assert receiver.put_side(path, sent.side).status_code == 204
    assert receiver.put_part(path, 1, sent.parts[1], **AWGN).status_code == 204
    assert receiver.complete(path).status_code == 202
    found = receiver.end_of(path)
    assert found["state"] == "done"
    assert found["parts"] == {"received": 3, "total": 3}
    assert set(found["report"]) == {"weights_digest", "seconds"}
    assert receiver.complete(path).json()["state"] == "done"
    events = receiver.get(f"{path}/events").text.strip().split("\n\n")
    assert len(events) == 1
    assert json.loads(events[0].removeprefix("data: "))["state"] == "done"
    model = receiver.get(f"{path}/model")
    assert model.status_code == 200
    assert int(model.headers["content-length"]) == len(model.content)


def test_a_part_with_other_bytes_than_before_is_refused_and_the_first_is_kept(
    services: Services, sent: Encoded
) -> None:
    path = services.receiver.open(sent.header)
    assert services.receiver.put_part(path, 1, sent.parts[1], **AWGN).status_code == 204
    other = np.zeros(len(sent.parts[1]) // 4, np.float32).tobytes()
    answer = services.receiver.put_part(path, 1, other, **AWGN)
    assert is_problem(answer, 409, "part-differs")
    (kept,) = (services.data / path[1:] / "parts").iterdir()
    assert kept.read_bytes() == sent.parts[1]


def test_after_complete_nothing_new_is_taken_but_repeats_are_fine(
    services: Services, small_path: Path
) -> None:
    sent = encoded(small_path, "sign-protection")
    path = services.receiver.deliver_all(sent, **AWGN)
    assert services.receiver.put_part(path, 0, sent.parts[0], **AWGN).status_code == 204
    assert services.receiver.put_side(path, sent.side).status_code == 204
    other = np.zeros(1000, np.float32).tobytes()
    answer = services.receiver.put_part(path, 0, other, **AWGN)
    assert is_problem(answer, 409, "closed")
    flipped = bytearray(sent.side)
    flipped[-200] ^= 1
    answer = services.receiver.put_side(path, bytes(flipped))
    assert is_problem(answer, 409, "side-differs")


@pytest.mark.parametrize("stamp", [{}, {STAMP: "noiseless"}, {STAMP: "fog"}])
def test_a_part_that_did_not_go_through_the_promised_channel_is_refused(
    stamp: dict[str, str], services: Services, sent: Encoded
) -> None:
    path = services.receiver.open(sent.header)
    answer = services.receiver.put_part(path, 0, sent.parts[0], **stamp)
    assert is_problem(answer, 409, "channel")
    assert "the header says awgn" in answer.json()["detail"]


def test_a_clean_channel_needs_no_link(services: Services, small_path: Path) -> None:
    sent = encoded(small_path, channel="noiseless")
    path = services.receiver.open(sent.header)
    assert services.receiver.put_part(path, 0, sent.parts[0]).status_code == 204


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_symbols_that_are_not_finite_are_refused_but_large_ones_are_noise(
    value: float, services: Services, sent: Encoded
) -> None:
    path = services.receiver.open(sent.header)
    symbols = np.frombuffer(sent.parts[0], np.float32).copy()
    symbols[3] = value
    answer = services.receiver.put_part(path, 0, symbols.tobytes(), **AWGN)
    assert is_problem(answer, 422, "format-error")
    assert "symbol 3 is" in answer.json()["detail"]
    symbols[3] = 1e30
    answer = services.receiver.put_part(path, 0, symbols.tobytes(), **AWGN)
    assert answer.status_code == 204


def test_bad_bodies_are_refused_and_leave_what_is_there(services: Services, sent: Encoded) -> None:
    receiver = services.receiver
    path = receiver.open(sent.header)
    receiver.put_part(path, 2, sent.parts[2], **AWGN)
    part, target = sent.parts[0], f"{path}/parts/0"
    assert is_problem(receiver.put(target, content=part, headers=AWGN), 400, "digest-missing")
    wrong = "sha-256=:" + "A" * 43 + "=:"
    answer = receiver.upload(target, part, content_digest=wrong, **AWGN)
    assert is_problem(answer, 400, "digest-mismatch")
    answer = receiver.upload(target, part, content_encoding="gzip", **AWGN)
    assert is_problem(answer, 415, "content-encoding")
    for length in ("-1", "+4", "1e3", "4, 4", "", "9" * 40):
        answer = receiver.upload(target, part, content_length=length, **AWGN)
        assert is_problem(answer, 400, "content-length")
    assert is_problem(receiver.upload(target, part[:-4], **AWGN), 422, "format-error")
    assert is_problem(receiver.upload(target, part + b"1234", **AWGN), 413, "too-long")
    assert is_problem(receiver.put_part(path, 3, part, **AWGN), 422, "format-error")
    assert is_problem(receiver.upload(f"{path}/parts/x", part, **AWGN), 422, "request")
    assert receiver.there(path) == {"parts": [2], "side": False}
    assert len(list((services.data / path[1:]).glob("**/*.*"))) == 1


def broken_sides(side: bytes) -> dict[str, bytes]:
    n = int.from_bytes(side[:8], "little")
    return {
        "empty": b"",
        "cut": side[:-1],
        "longer": side + b"\0",
        "no index": b"\xff" * 64,
        "endless index": (1 << 60).to_bytes(8, "little") + side[8:],
        "index only": side[: 8 + n],
        "no zstandard": side.replace(b"\x28\xb5\x2f\xfd", b"\x29\xb5\x2f\xfd", 1),
        "other names": side.replace(b'"signs"', b'"sigma"', 1),
        "other type": side.replace(b'"U8"', b'"I8"', 1),
    }


@pytest.mark.parametrize("how", broken_sides(b"\0" * 16))
def test_broken_side_information_is_refused_and_not_kept(
    how: str, services: Services, sent: Encoded
) -> None:
    path = services.receiver.open(sent.header)
    services.receiver.put_part(path, 0, sent.parts[0], **AWGN)
    answer = services.receiver.put_side(path, broken_sides(sent.side)[how])
    assert is_problem(answer, 422, "format-error")
    assert "side information" in answer.json()["detail"]
    assert services.receiver.there(path) == {"parts": [0], "side": False}
    assert [p.name for p in (services.data / path[1:]).iterdir()] == ["parts"]
    assert services.receiver.put_side(path, sent.side).status_code == 204


def test_side_information_longer_than_the_header_allows_is_refused_early(
    services: Services, small_path: Path
) -> None:
    path = services.receiver.open(encoded(small_path).header)
    answer = services.receiver.put_side(path, b"\0" * (2 << 20))
    assert is_problem(answer, 413, "too-long")


def test_a_deleted_transmission_is_gone_with_its_files(services: Services, sent: Encoded) -> None:
    path = services.receiver.open(sent.header)
    services.receiver.put_part(path, 0, sent.parts[0], **AWGN)
    assert services.receiver.delete(path).status_code == 204
    assert not (services.data / path[1:]).exists()
    calls: list[Callable[[], httpx.Response]] = [
        lambda: services.receiver.get(path),
        lambda: services.receiver.get(f"{path}/parts"),
        lambda: services.receiver.get(f"{path}/events"),
        lambda: services.receiver.get(f"{path}/model"),
        lambda: services.receiver.complete(path),
        lambda: services.receiver.delete(path),
        lambda: services.receiver.put_part(path, 1, sent.parts[1], **AWGN),
        lambda: services.receiver.put_side(path, sent.side),
    ]
    for call in calls:
        assert is_problem(call(), 404, "no-transmission")


@pytest.mark.parametrize("id_", ["..", "%2e%2e%2f%2e%2e", "0" * 31, "G" * 32, "A" * 32, "%00"])
def test_an_id_that_is_none_is_not_found(id_: str, services: Services) -> None:
    answer = services.receiver.upload(f"/transmissions/{id_}/side", b"123")
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_newest_transmission_is_listed_first(services: Services, sent: Encoded) -> None:
    first, second = (services.receiver.open(sent.header).rpartition("/")[2] for _ in range(2))
    listed = [row["id"] for row in services.receiver.listed()]
    assert listed[:2] == [second, first]


def test_a_receiver_without_room_refuses_at_create(
    driver: Driver, sent: Encoded, tmp_path: Path
) -> None:
    with driver.join(tmp_path, spare_bytes=1 << 60) as own:
        answer = own.link.create(sent.header)
        assert is_problem(answer, 507, "disk-full")
        assert own.receiver.get("/transmissions").json() == {"transmissions": []}
        assert list((tmp_path / "transmissions").iterdir()) == []


def test_too_many_symbols_are_refused_at_create(
    driver: Driver, sent: Encoded, tmp_path: Path
) -> None:
    with driver.join(tmp_path, max_symbols=1000) as own:
        answer = own.link.create(sent.header)
        assert is_problem(answer, 413, "too-long")


def test_the_report_names_the_weights_by_their_digest(services: Services, small_path: Path) -> None:
    sent = encoded(small_path, channel="noiseless")
    path = services.receiver.deliver_all(sent)
    report = services.receiver.end_of(path)["report"]
    model = services.receiver.get(f"{path}/model").content
    assert report["weights_digest"] in {
        hashlib.sha256(model[at : at + 4000]).hexdigest() for at in range(0, len(model), 4)
    }
