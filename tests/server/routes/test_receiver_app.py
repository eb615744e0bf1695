"""The receiver's API: what it keeps, what it refuses, and that a refusal costs nothing else."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save_file

from weightcast.wire.header import Header
from weightcast.wire.symbols import STAMP

AWGN = {STAMP: "awgn"}
HEADER_OF_VERSION_1 = (
    b'{"version":1,"model":"golden","weights":[["w","F32",[2,4]]],"carried":[["b","F32",[1]]],'
    b'"scheme":"adaptive-redundancy","params":{"n_large":2,"large_fraction":0.0006268164959327689,'
    b'"r_small":1,"r_large":3,"limit":null},"plan":{"n_weights":8,"n_large":2,"low":0.0,'
    b'"threshold":1.0,"high":2.0,"last_tie":7},"channel":"awgn","channel_params":{"std":0.5},'
    b'"seed":1,"stream":2,"n_weights":8,"n_symbols":12,"evaluate":false,"n_images":null}'
)


def changed_setup(header: Header, **changes: Any) -> Header:
    """Return a header whose setup has other fields."""
    return header.model_copy(update={"setup": header.setup | changes})


@pytest.fixture
def sent(encoded: Any, model_path: Path) -> Any:
    """A transmission with both kinds of side information, in three parts."""
    return encoded(model_path, "adaptive-redundancy")


def test_a_key_makes_opening_a_transmission_repeatable(
    services: Any, sent: Any, put: Any, is_problem: Any
) -> None:
    text = sent.header.to_bytes()
    first, again = (
        put(services.receiver, "/transmissions", text, "POST", idempotency_key="k1")
        for _ in range(2)
    )
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == f"/transmissions/{first.json()['id']}"
    other = put(services.receiver, "/transmissions", text, "POST", idempotency_key="k2")
    assert other.json()["id"] != first.json()["id"]
    changed = changed_setup(sent.header, seed=99).to_bytes()
    answer = put(services.receiver, "/transmissions", changed, "POST", idempotency_key="k1")
    assert is_problem(answer, 409, "idempotency-key")
    long = put(services.receiver, "/transmissions", text, "POST", idempotency_key="k" * 256)
    assert is_problem(long, 400, "idempotency-key")
    folders = {path.name for path in (services.data / "transmissions").iterdir()}
    rows = services.receiver.get("/transmissions").json()["transmissions"]
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
    text: bytes, status: int, kind: str, services: Any, put: Any, is_problem: Any
) -> None:
    assert is_problem(put(services.receiver, "/transmissions", text, "POST"), status, kind)


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
    change: dict[str, Any],
    kind: str,
    says: str,
    services: Any,
    sent: Any,
    put: Any,
    is_problem: Any,
) -> None:
    text = json.dumps(json.loads(sent.header.to_bytes()) | change).encode()
    answer = put(services.receiver, "/transmissions", text, "POST")
    assert is_problem(answer, 422, kind)
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"scheme": "adaptve"}, "unknown-name", "no scheme 'adaptve'; known: adaptive-mapping, "),
        ({"decoder": "oracle"}, "unknown-name", "no decoder 'oracle'; known: clipped, inversion"),
        ({"channel": "fog"}, "unknown-name", "no channel 'fog'; known: awgn, cascade, noiseless"),
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
    change: dict[str, Any],
    kind: str,
    says: str,
    services: Any,
    sent: Any,
    put: Any,
    is_problem: Any,
) -> None:
    text = changed_setup(sent.header, **change).to_bytes()
    answer = put(services.receiver, "/transmissions", text, "POST")
    assert is_problem(answer, 422, kind)
    assert says in answer.json()["detail"]


def test_a_header_of_version_1_is_refused_in_one_line_that_says_so(
    services: Any, put: Any, is_problem: Any
) -> None:
    for hop in (services.receiver, services.link):
        answer = put(hop, "/transmissions", HEADER_OF_VERSION_1, "POST")
        assert is_problem(answer, 422, "format-error")
        assert answer.json()["detail"] == "the header has the version 1; known: 2"


def test_a_model_that_is_not_its_tasks_fails_with_the_reason(
    services: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    is_problem: Any,
    small_path: Path,
) -> None:
    sent = encoded(small_path, channel="noiseless")
    path = opened(services.receiver, changed_setup(sent.header, task="cifar10", n_samples=10))
    put(services.receiver, f"{path}/parts/0", sent.parts[0])
    put(services.receiver, f"{path}/side", sent.side)
    assert services.receiver.post(f"{path}/complete").status_code == 202
    found = finished(services.receiver, path)
    assert (found["state"], found["report"]) == ("failed", None)
    assert found["error"]["kind"] == "ModelError"
    assert found["error"]["detail"].startswith("not the tensors of cifar10: 'conv1.weight' is")


def test_thousands_of_carried_tensors_arrive(
    services: Any, encoded: Any, opened: Any, put: Any, finished: Any, tmp_path: Path
) -> None:
    tensors = {f"layers.{i}.norm.weight": np.full(1, i, np.float32) for i in range(20_000)}
    tensors["w"] = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    save_file(tensors, tmp_path / "many.safetensors")
    sent = encoded(tmp_path / "many.safetensors", channel="noiseless")
    assert len(sent.side) > 1 << 20
    path = opened(services.receiver, sent.header)
    assert put(services.receiver, f"{path}/parts/0", sent.parts[0]).status_code == 204
    assert put(services.receiver, f"{path}/side", sent.side).status_code == 204
    assert services.receiver.post(f"{path}/complete").status_code == 202
    assert finished(services.receiver, path)["state"] == "done"
    arrived = load(services.receiver.get(f"{path}/model").content)
    assert len(arrived) == len(tensors)
    assert arrived["layers.19999.norm.weight"] == 19_999


def test_a_transmission_is_received_decoded_and_handed_out(
    services: Any, sent: Any, opened: Any, put: Any, finished: Any, is_problem: Any
) -> None:
    receiver = services.receiver
    path = opened(receiver, sent.header)
    assert receiver.get(path).json()["state"] == "created"
    assert is_problem(receiver.get(f"{path}/model"), 409, "not-decoded")
    for n in (2, 0):
        assert put(receiver, f"{path}/parts/{n}", sent.parts[n], **AWGN).status_code == 204
    assert receiver.get(f"{path}/parts").json() == {"parts": [0, 2], "side": False}
    answer = receiver.post(f"{path}/complete")
    assert is_problem(answer, 409, "incomplete")
    assert answer.json()["missing_parts"] == [1]
    assert answer.json()["missing_side"] is True
    assert receiver.get(path).json()["state"] == "receiving"
    assert put(receiver, f"{path}/side", sent.side).status_code == 204
    assert put(receiver, f"{path}/parts/1", sent.parts[1], **AWGN).status_code == 204
    assert receiver.post(f"{path}/complete").status_code == 202
    found = finished(receiver, path)
    assert found["state"] == "done"
    assert found["parts"] == {"received": 3, "total": 3}
    assert set(found["report"]) == {"weights_digest", "seconds"}
    assert receiver.post(f"{path}/complete").json()["state"] == "done"
    events = receiver.get(f"{path}/events").text.strip().split("\n\n")
    assert len(events) == 1
    assert json.loads(events[0].removeprefix("data: "))["state"] == "done"
    model = receiver.get(f"{path}/model")
    assert model.status_code == 200
    assert int(model.headers["content-length"]) == len(model.content)


def test_a_part_with_other_bytes_than_before_is_refused_and_the_first_is_kept(
    services: Any, sent: Any, opened: Any, put: Any, is_problem: Any
) -> None:
    path = opened(services.receiver, sent.header)
    assert put(services.receiver, f"{path}/parts/1", sent.parts[1], **AWGN).status_code == 204
    other = np.zeros(len(sent.parts[1]) // 4, np.float32).tobytes()
    answer = put(services.receiver, f"{path}/parts/1", other, **AWGN)
    assert is_problem(answer, 409, "part-differs")
    (kept,) = (services.data / path[1:] / "parts").iterdir()
    assert kept.read_bytes() == sent.parts[1]


def test_after_complete_nothing_new_is_taken_but_repeats_are_fine(
    services: Any, encoded: Any, opened: Any, put: Any, is_problem: Any, small_path: Path
) -> None:
    sent = encoded(small_path, "sign-protection")
    path = opened(services.receiver, sent.header)
    put(services.receiver, f"{path}/parts/0", sent.parts[0], **AWGN)
    put(services.receiver, f"{path}/side", sent.side)
    assert services.receiver.post(f"{path}/complete").status_code == 202
    assert put(services.receiver, f"{path}/parts/0", sent.parts[0], **AWGN).status_code == 204
    assert put(services.receiver, f"{path}/side", sent.side).status_code == 204
    other = np.zeros(1000, np.float32).tobytes()
    answer = put(services.receiver, f"{path}/parts/0", other, **AWGN)
    assert is_problem(answer, 409, "closed")
    flipped = bytearray(sent.side)
    flipped[-200] ^= 1
    answer = put(services.receiver, f"{path}/side", bytes(flipped))
    assert is_problem(answer, 409, "side-differs")


@pytest.mark.parametrize("stamp", [{}, {STAMP: "noiseless"}, {STAMP: "fog"}])
def test_a_part_that_did_not_go_through_the_promised_channel_is_refused(
    stamp: dict[str, str], services: Any, sent: Any, opened: Any, put: Any, is_problem: Any
) -> None:
    path = opened(services.receiver, sent.header)
    answer = put(services.receiver, f"{path}/parts/0", sent.parts[0], **stamp)
    assert is_problem(answer, 409, "channel")
    assert "the header says awgn" in answer.json()["detail"]


def test_a_clean_channel_needs_no_link(
    services: Any, encoded: Any, opened: Any, put: Any, small_path: Path
) -> None:
    sent = encoded(small_path, channel="noiseless")
    path = opened(services.receiver, sent.header)
    assert put(services.receiver, f"{path}/parts/0", sent.parts[0]).status_code == 204


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_symbols_that_are_not_finite_are_refused_but_large_ones_are_noise(
    value: float, services: Any, sent: Any, opened: Any, put: Any, is_problem: Any
) -> None:
    path = opened(services.receiver, sent.header)
    symbols = np.frombuffer(sent.parts[0], np.float32).copy()
    symbols[3] = value
    answer = put(services.receiver, f"{path}/parts/0", symbols.tobytes(), **AWGN)
    assert is_problem(answer, 422, "format-error")
    assert "symbol 3 is" in answer.json()["detail"]
    symbols[3] = 1e30
    answer = put(services.receiver, f"{path}/parts/0", symbols.tobytes(), **AWGN)
    assert answer.status_code == 204


def test_bad_bodies_are_refused_and_leave_what_is_there(
    services: Any, sent: Any, opened: Any, put: Any, is_problem: Any
) -> None:
    receiver = services.receiver
    path = opened(receiver, sent.header)
    put(receiver, f"{path}/parts/2", sent.parts[2], **AWGN)
    part, target = sent.parts[0], f"{path}/parts/0"
    assert is_problem(receiver.put(target, content=part, headers=AWGN), 400, "digest-missing")
    wrong = "sha-256=:" + "A" * 43 + "=:"
    answer = put(receiver, target, part, content_digest=wrong, **AWGN)
    assert is_problem(answer, 400, "digest-mismatch")
    answer = put(receiver, target, part, content_encoding="gzip", **AWGN)
    assert is_problem(answer, 415, "content-encoding")
    for length in ("-1", "+4", "1e3", "4, 4", "", "9" * 40):
        answer = put(receiver, target, part, content_length=length, **AWGN)
        assert is_problem(answer, 400, "content-length")
    assert is_problem(put(receiver, target, part[:-4], **AWGN), 422, "format-error")
    assert is_problem(put(receiver, target, part + b"1234", **AWGN), 413, "too-long")
    assert is_problem(put(receiver, f"{path}/parts/3", part, **AWGN), 422, "format-error")
    assert is_problem(put(receiver, f"{path}/parts/x", part, **AWGN), 422, "request")
    assert receiver.get(f"{path}/parts").json() == {"parts": [2], "side": False}
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
    how: str, services: Any, sent: Any, opened: Any, put: Any, is_problem: Any
) -> None:
    path = opened(services.receiver, sent.header)
    put(services.receiver, f"{path}/parts/0", sent.parts[0], **AWGN)
    answer = put(services.receiver, f"{path}/side", broken_sides(sent.side)[how])
    assert is_problem(answer, 422, "format-error")
    assert "side information" in answer.json()["detail"]
    assert services.receiver.get(f"{path}/parts").json() == {"parts": [0], "side": False}
    assert [p.name for p in (services.data / path[1:]).iterdir()] == ["parts"]
    assert put(services.receiver, f"{path}/side", sent.side).status_code == 204


def test_side_information_longer_than_the_header_allows_is_refused_early(
    services: Any, encoded: Any, opened: Any, put: Any, is_problem: Any, small_path: Path
) -> None:
    path = opened(services.receiver, encoded(small_path).header)
    answer = put(services.receiver, f"{path}/side", b"\0" * (2 << 20))
    assert is_problem(answer, 413, "too-long")


def test_a_deleted_transmission_is_gone_with_its_files(
    services: Any, sent: Any, opened: Any, put: Any, is_problem: Any
) -> None:
    path = opened(services.receiver, sent.header)
    put(services.receiver, f"{path}/parts/0", sent.parts[0], **AWGN)
    assert services.receiver.delete(path).status_code == 204
    assert not (services.data / path[1:]).exists()
    for call in (
        lambda: services.receiver.get(path),
        lambda: services.receiver.get(f"{path}/parts"),
        lambda: services.receiver.get(f"{path}/events"),
        lambda: services.receiver.get(f"{path}/model"),
        lambda: services.receiver.post(f"{path}/complete"),
        lambda: services.receiver.delete(path),
        lambda: put(services.receiver, f"{path}/parts/1", sent.parts[1], **AWGN),
        lambda: put(services.receiver, f"{path}/side", sent.side),
    ):
        assert is_problem(call(), 404, "no-transmission")


@pytest.mark.parametrize("id_", ["..", "%2e%2e%2f%2e%2e", "0" * 31, "G" * 32, "A" * 32, "%00"])
def test_an_id_that_is_none_is_not_found(id_: str, services: Any, put: Any) -> None:
    answer = put(services.receiver, f"/transmissions/{id_}/side", b"123")
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_newest_transmission_is_listed_first(services: Any, sent: Any, opened: Any) -> None:
    first, second = (opened(services.receiver, sent.header).rpartition("/")[2] for _ in range(2))
    listed = [row["id"] for row in services.receiver.get("/transmissions").json()["transmissions"]]
    assert listed[:2] == [second, first]


def test_a_receiver_without_room_refuses_at_create(
    joined: Any, sent: Any, put: Any, is_problem: Any, tmp_path: Path
) -> None:
    with joined(tmp_path, spare_bytes=1 << 60) as own:
        answer = put(own.link, "/transmissions", sent.header.to_bytes(), "POST")
        assert is_problem(answer, 507, "disk-full")
        assert own.receiver.get("/transmissions").json() == {"transmissions": []}
        assert list((tmp_path / "transmissions").iterdir()) == []


def test_too_many_symbols_are_refused_at_create(
    joined: Any, sent: Any, put: Any, is_problem: Any, tmp_path: Path
) -> None:
    with joined(tmp_path, max_symbols=1000) as own:
        answer = put(own.link, "/transmissions", sent.header.to_bytes(), "POST")
        assert is_problem(answer, 413, "too-long")


def test_the_report_names_the_weights_by_their_digest(
    services: Any, encoded: Any, opened: Any, put: Any, finished: Any, small_path: Path
) -> None:
    sent = encoded(small_path, channel="noiseless")
    path = opened(services.receiver, sent.header)
    put(services.receiver, f"{path}/parts/0", sent.parts[0])
    put(services.receiver, f"{path}/side", sent.side)
    services.receiver.post(f"{path}/complete")
    report = finished(services.receiver, path)["report"]
    model = services.receiver.get(f"{path}/model").content
    assert report["weights_digest"] in {
        hashlib.sha256(model[at : at + 4000]).hexdigest() for at in range(0, len(model), 4)
    }
