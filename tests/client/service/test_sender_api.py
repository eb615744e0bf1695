"""What the sender service takes, refuses and tells, without anything being sent."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from driver.calls import is_problem
from driver.senders import Sender, Senders
from pydantic import SecretStr

from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS
from weightcast.errors import ParameterError
from weightcast.models import zoo
from weightcast.tasks import TASKS
from weightcast.wire.digest import digest_of
from weightcast_client.service.bodies import MAX_BYTES, SendBody
from weightcast_client.service.store import Store


@pytest.fixture
def client(senders: Senders, silent: str) -> Iterator[Sender]:
    """A sender whose link never answers, so that the first send goes on for ever."""
    with senders.join(silent, max_queued=2) as sender:
        yield sender


def wait_until_sending(client: Sender, path: str) -> None:
    while client.state(path)["state"] != "sending":
        pass


def test_a_send_is_accepted_with_its_place_and_all_that_was_not_said(client: Sender) -> None:
    body = {"model": "small.safetensors", "std": 1, "setup": {"task": None, "seed": 3}}
    answer = client.post("/sends", json=body)
    assert answer.status_code == 202
    told = answer.json()
    assert answer.headers["location"] == f"/sends/{told['id']}"
    assert told["state"] in ("queued", "sending")
    assert told["send"] == {
        "model": "small.safetensors",
        "setup": {"task": None, "seed": 3},
        "std": 1.0,
        "repeat": 1,
    }
    assert client.get(answer.headers["location"]).json()["send"] == told["send"]


def test_the_default_send_is_that_of_the_command() -> None:
    assert SendBody(std=0.1).model == zoo.DEFAULT_MODEL


SCHEME_NAMES = ", ".join(sorted(SCHEMES))
CHANNEL_NAMES = ", ".join(sorted(CHANNELS))
DECODER_NAMES = ", ".join(sorted(DECODERS))
TASK_NAMES = ", ".join(sorted(TASKS))
KNOWN = ", ".join(sorted([*zoo.models(), "model.safetensors", "small.safetensors"]))


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"std": None}, "parameter-error", "channel 'awgn' needs the param 'std'"),
        ({"std": -0.1}, "parameter-error", "std must be in 0 .. 1e+06, got -0.1"),
        ({"std": "loud"}, "request", "std: Input should be a valid number"),
        ({"sdt": 1}, "request", "sdt: Extra inputs are not permitted"),
        ({"repeat": "often"}, "request", "repeat: Input should be a valid integer"),
        ({"repeat": 0}, "request", "repeat: Input should be greater than or equal to 1"),
        ({"repeat": 1001}, "request", "repeat: Input should be less than or equal to 1000"),
        ({"setup": []}, "request", "setup: Input should be an object"),
        ({"setup": {}}, "model-error", "no task is known for this model's tensors"),
        ({"model": "nothing"}, "unknown-name", f"no model 'nothing'; known: {KNOWN}"),
        ({"model": "../receiver.db"}, "unknown-name", "no model '../receiver.db'"),
        ({"model": ".."}, "unknown-name", "no model '..'"),
        ({"model": "/etc/passwd"}, "unknown-name", "no model '/etc/passwd'"),
        ({"model": "small.safetensors\0"}, "unknown-name", "no model 'small.safetensors\0'"),
        ({"model": "folder"}, "unknown-name", "no model 'folder'"),
        ({"model": "way-out"}, "unknown-name", "no model 'way-out'"),
        ({"model": "text"}, "model-error", "'text' is not a safetensors file"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_before_it_is_queued(
    fields: dict[str, Any],
    kind: str,
    says: str,
    client: Sender,
    tmp_path: Path,
    small_path: Path,
) -> None:
    if fields.get("model") in ("folder", "way-out", "text"):
        (tmp_path / "models/folder").mkdir()
        (tmp_path / "models/way-out").symlink_to(small_path)
        (tmp_path / "models/text").write_text("this is no model" * 10)
    body = {"model": "small.safetensors", "std": 0.1, "setup": {"task": None}} | fields
    answer = client.post("/sends", json=body)
    assert is_problem(answer, 422, kind)
    assert says in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
    assert client.get("/sends").json() == {"sends": []}


REDUNDANCY = {"name": "adaptive-redundancy"}


@pytest.mark.parametrize(
    ("setup", "kind", "says"),
    [
        ({"scheme": "adaptve"}, "unknown-name", f"no scheme 'adaptve'; known: {SCHEME_NAMES}"),
        ({"channel": "fog"}, "unknown-name", f"no channel 'fog'; known: {CHANNEL_NAMES}"),
        ({"decoder": "oracle"}, "unknown-name", f"no decoder 'oracle'; known: {DECODER_NAMES}"),
        ({"task": "chess"}, "unknown-name", f"no task 'chess'; known: {TASK_NAMES}"),
        (
            {"scheme": REDUNDANCY | {"r_large": 0}},
            "parameter-error",
            "r_large must be in 1 .. 1000, got 0",
        ),
        (
            {"scheme": REDUNDANCY | {"r_large": "many"}},
            "parameter-error",
            "must be an integer, got 'many'",
        ),
        (
            {"scheme": REDUNDANCY | {"r_large": "2"}},
            "parameter-error",
            "must be an integer, got '2'",
        ),
        ({"scheme": REDUNDANCY | {"r_large": [1]}}, "parameter-error", "an integer, got [1]"),
        ({"scheme": REDUNDANCY | {"rlarge": 2}}, "parameter-error", "no param 'rlarge'; known: "),
        ({"scheme": 7}, "parameter-error", "a scheme is a name or an object with one, got 7"),
        ({"decoder": {"name": "clipped", "limit": 0.5}}, "parameter-error", "limit must be at"),
        ({"channel": "noiseless"}, "parameter-error", "channel 'noiseless' has no param 'std'"),
        (
            {"channel": {"name": "awgn", "snr": 1}},
            "parameter-error",
            "channel 'awgn' has no param 'snr'",
        ),
        ({"channel": ["awgn"]}, "parameter-error", "a channel is a name or an object with one"),
        ({"seed": -1}, "parameter-error", "seed must be in 0 .. 2**64 - 1, got -1"),
        ({"seed": 2**64}, "parameter-error", "seed must be in 0 .. 2**64 - 1"),
        ({"seed": True}, "parameter-error", "'seed', must be an integer, got True"),
        ({"seed": "1"}, "parameter-error", "'seed', must be an integer, got '1'"),
        ({"draw": -1}, "parameter-error", "draw must be in 0 .. 2**64 - 1, got -1"),
        ({"split": "exam"}, "parameter-error", "'split', must be one of "),
        ({"n_samples": 0}, "parameter-error", "n_samples must be at least 1 for test, got 0"),
        (
            {"n_samples": 10_001, "task": "cifar10"},
            "parameter-error",
            "n_samples must be 1 .. 10000 for test, got 10001",
        ),
        ({"task": "cifar10"}, "model-error", "not the tensors of cifar10: 'conv1.weight' is"),
        ({"sdt": 1}, "parameter-error", "setup has no param 'sdt'; known: channel, decoder, "),
    ],
)
def test_a_setup_that_cannot_be_is_refused_before_it_is_queued(
    setup: dict[str, Any],
    kind: str,
    says: str,
    client: Sender,
    tmp_path: Path,
) -> None:
    body = {"model": "small.safetensors", "std": 0.1, "setup": {"task": None} | setup}
    answer = client.post("/sends", json=body)
    assert is_problem(answer, 422, kind)
    assert says in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
    assert client.get("/sends").json() == {"sends": []}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"std": NaN}', b"[" * 10_000])
def test_what_is_no_send_is_refused(body: bytes, client: Sender) -> None:
    answer = client.post("/sends", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert client.get("/sends").json() == {"sends": []}


def test_bodies_that_are_too_long_not_json_or_damaged_are_refused(client: Sender) -> None:
    json_type = {"content-type": "application/json"}
    long = client.post("/sends", content=b" " * (MAX_BYTES + 1), headers=json_type)
    assert is_problem(long, 413, "too-long")
    other = client.post("/sends", content=b"{}", headers={"content-type": "text/plain"})
    assert is_problem(other, 415, "content-type")
    fields = json_type | {"content-digest": digest_of(b"[]")}
    assert is_problem(client.post("/sends", content=b"{}", headers=fields), 400, "digest-mismatch")


def test_the_same_key_gives_the_same_send_and_not_another_one(client: Sender) -> None:
    def post(std: float, key: str) -> httpx.Response:
        body = {"model": "small.safetensors", "std": std, "setup": {"task": None}}
        return client.post("/sends", json=body, headers={"idempotency-key": key})

    first = post(0.5, "a")
    assert post(0.5, "a").headers["location"] == first.headers["location"]
    assert post(0.5, "b").headers["location"] != first.headers["location"]
    assert is_problem(post(0.6, "a"), 409, "idempotency-key")
    assert is_problem(post(0.5, ""), 400, "idempotency-key")
    assert is_problem(post(0.5, "k" * 256), 400, "idempotency-key")
    assert len(client.listed()) == 2


def test_a_full_queue_refuses_and_says_when_to_come_back(client: Sender) -> None:
    wait_until_sending(client, client.queue())
    paths = [client.queue(seed=seed) for seed in range(2)]
    body = {"model": "small.safetensors", "std": 0.3, "setup": {"task": None}}
    answer = client.post("/sends", json=body)
    assert is_problem(answer, 503, "queue-full")
    assert answer.json()["detail"] == "2 sends are waiting, come back later"
    assert int(answer.headers["retry-after"]) > 0
    assert client.post(f"{paths[0]}/cancel").status_code == 200
    assert client.post("/sends", json=body).status_code == 202


def test_sends_are_listed_newest_first(client: Sender) -> None:
    paths = [client.queue()]
    wait_until_sending(client, paths[0])  # Two more may wait.
    paths += [client.queue(seed=seed) for seed in (1, 2)]
    listed = [f"/sends/{each['id']}" for each in client.listed()]
    assert listed == paths[::-1]


def test_a_queued_send_is_cancelled_at_once_and_its_watchers_are_told(client: Sender) -> None:
    first, second = client.queue(), client.queue()
    wait_until_sending(client, first)
    told = client.cancel(second)
    assert (told.status_code, told.json()["state"]) == (200, "cancelled")
    assert told.json()["ended"] >= told.json()["created"]
    assert client.cancel(second).json() == told.json()
    last = client.get(f"{second}/events").text.strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["state"] == "cancelled"
    assert client.get(first).json()["state"] == "sending"


def test_a_send_that_waits_for_its_link_is_cancelled_and_the_next_one_begins(
    client: Sender,
) -> None:
    first, second = client.queue(), client.queue()
    wait_until_sending(client, first)
    assert client.cancel(first).json()["state"] == "cancelled"
    wait_until_sending(client, second)


@pytest.mark.parametrize("path", ["/sends/1", f"/sends/{'0' * 32}", "/sends/..%2F..%2Fdata"])
def test_what_is_not_there_is_not_found(path: str, client: Sender) -> None:
    for answer in (client.get(path), client.get(f"{path}/events"), client.cancel(path)):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_its_health_is_told(client: Sender) -> None:
    assert client.get("/health").json() == {"service": "sender", "status": "ready"}
    assert client.get("/health/live").json() == {"service": "sender", "status": "live"}


def test_a_folder_whose_database_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sender.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(ParameterError, match="cannot open the database in "):
        Store(tmp_path)


def test_without_the_token_only_health_is_told(senders: Senders, silent: str) -> None:
    with senders.join(silent, token=SecretStr("secret")) as client:
        for path in ("/sends", f"/sends/{'0' * 32}/events", "/metrics"):
            assert is_problem(client.get(path), 401, "unauthorised")
        assert is_problem(client.post("/sends", json={}), 401, "unauthorised")
        assert client.get("/health").status_code == 200
        assert client.get("/health/live").status_code == 200
        shown = {"authorization": "Bearer secret"}
        assert client.get("/sends", headers=shown).json() == {"sends": []}


def test_metrics_count_sends_by_state_and_the_queue(
    client: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weightcast_web.telemetry.health.FRESH_S", -1)
    monkeypatch.setattr("weightcast_web.telemetry.health.PATIENCE_S", 10)
    first, second, _ = client.queue(), client.queue(), client.queue()
    wait_until_sending(client, first)
    client.cancel(second)
    text = client.get("/metrics").text
    for line in (
        'weightcast_sender_sends{state="sending"} 1.0',
        'weightcast_sender_sends{state="queued"} 1.0',
        'weightcast_sender_sends{state="cancelled"} 1.0',
        'weightcast_sender_sends{state="done"} 0.0',
        "weightcast_sender_queue_length 1.0",
        "weightcast_ready 1.0",
    ):
        assert f"\n{line}\n" in text


def test_every_metric_of_the_sender_is_documented(client: Sender) -> None:
    found = re.findall(
        r"^# TYPE (weightcast_sender_\w+) (\w+)$", client.get("/metrics").text, flags=re.M
    )
    found = [(name, kind) for name, kind in found if not name.endswith("_created")]
    text = (Path(__file__).parents[3] / "docs/sender-service.md").read_text()
    assert set(re.findall(r"^\| `(weightcast_sender_\w+)` \| (\w+) \|", text, flags=re.M)) == set(
        found
    )
