"""What the sender service sends is what the command sends, whatever happens meanwhile."""

import hashlib
import json
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from weightcast import plugins
from weightcast.models.weights import open_model
from weightcast.pipeline import transmit
from weightcast.setup import KINDS, Setup
from weightcast_client.service.bodies import SendBody
from weightcast_web.running.command import INTERRUPTED

DRAWS = 3


def events_of(client: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    """Yield the states of a send until its end, or until the service ends."""
    try:
        with client.stream("GET", f"{path}/events") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])
    except httpx.TransportError:
        return


def is_at(now: dict[str, Any], draw: int, phase: str) -> bool:
    """Whether a send is in a phase of a draw, or beyond that."""
    progress = now["progress"] or {"draw": -1, "phases": {}}
    begun = progress["draw"] == draw and phase in progress["phases"]
    return begun or progress["draw"] > draw or now["state"] == "done"


def worker_of(pid: int, children: Any) -> int:
    """Return the worker of a sender service, as soon as it is there."""
    while True:
        if found := children(pid, "weightcast_client.service.worker"):
            return int(found[0])


def test_a_send_gives_the_result_of_the_command_bit_for_bit(
    sender: Any, settings: Any, ends: Any, queue: Any, result_of: Any, comparable: Any,
    client_send: Any, model_path: Path,
) -> None:  # fmt: skip
    with sender(settings(ends.link)) as client:
        path = queue(client, model="model.safetensors", repeat=2, seed=4)
        phases = [now["progress"] for now in events_of(client, path) if now["progress"]]
        sent = result_of(client, path)
    words = ("--no-evaluate", "--std=0.3", f"--model={model_path}", "--repeat=2", "--seed=4")
    printed = client_send(f"--link={ends.link}", *words)
    assert list(sent) == list(printed)
    assert comparable(sent) == comparable(printed)
    assert sent["transmissions"] != printed["transmissions"]
    assert {p["draw"] for p in phases} >= {0, 1}
    assert {p["draws"] for p in phases} == {2}
    assert {name for p in phases for name in p["phases"]} >= {"encode", "send", "decode"}


def test_the_token_is_shown_to_the_link(
    sender: Any, settings: Any, running: Any, result_of: Any, tmp_path: Path
) -> None:
    token = "a-secret-of-these-services"
    env = os.environ | {f"WEIGHTCAST_{who}_TOKEN": token for who in ("LINK", "SERVER")}
    with (
        running(tmp_path / "receiver", env=env) as (_, url),
        running(None, receiver=url, env=env) as (_, link),
        sender(settings(link, token=SecretStr(token))) as client,
    ):
        client.headers["authorization"] = f"Bearer {token}"
        body = {"model": "small.safetensors", "std": 0.3, "setup": {"task": None}}
        path = client.post("/sends", json=body).headers["location"]
        assert result_of(client, path)["n_weights"] == 1000


def test_a_send_that_fails_at_the_other_end_tells_why(
    sender: Any, settings: Any, ends: Any, queue: Any
) -> None:
    with sender(settings(ends.link)) as client:
        path = queue(client, scheme={"name": "adaptive-redundancy", "n_large": 1001})
        client.get(f"{path}/events")
        found = client.get(path).json()
        assert (found["state"], found["result"]) == ("failed", None)
        assert found["error"] == {
            "kind": "ParameterError",
            "detail": "n_large must be at most the number of weights 1000, got 1001",
        }
        refused = client.post(f"{path}/cancel")
        assert refused.status_code == 409
        assert refused.json()["detail"] == "the send is failed"


def test_cancelling_a_running_send_ends_its_work_and_deletes_what_it_has_begun(
    serving: Any, settings: Any, own_ends: Any, queue: Any, result_of: Any, children: Any
) -> None:
    with serving(settings(own_ends.link)) as (process, client):
        path, next_path = queue(client, model="model.safetensors", repeat=50), queue(client)
        worker = worker_of(process.pid, children)
        next(now for now in events_of(client, path) if is_at(now, 1, "encode"))
        watch = os.pidfd_open(worker)
        assert client.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert select.select([watch], [], [], 30)[0]
        os.close(watch)
        result_of(client, next_path)
        assert client.get(path).json()["result"] is None
    assert set(own_ends.transmissions().values()) == {"done"}


def test_what_a_cancelled_send_has_begun_is_deleted_once_the_link_is_back(
    serving: Any, settings: Any, running: Any, queue: Any, tmp_path: Path
) -> None:
    def n_transmissions(url: str) -> int:
        return len(httpx.get(f"{url}/transmissions").json()["transmissions"])

    with running(tmp_path / "receiver") as (_, url):
        with running(None, receiver=url) as (to_kill, link), serving(settings(link)) as (_, client):
            path = queue(client, model="model.safetensors", repeat=50)
            next(now for now in events_of(client, path) if is_at(now, 0, "encode"))
            to_kill.kill()
            assert client.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert n_transmissions(url) == 1
        with (
            running(None, receiver=url, port=int(link.rpartition(":")[2])),
            serving(settings(link)),
        ):
            while n_transmissions(url):
                pass


MOMENTS = np.random.Generator(np.random.Philox(7)).integers(1, 12, 4)


@pytest.mark.slow
def test_a_sender_killed_at_any_moment_sends_everything_exactly_once(
    serving: Any, settings: Any, own_ends: Any, queue: Any, result_of: Any, comparable: Any,
    client_send: Any, model_path: Path,
) -> None:  # fmt: skip
    own = settings(own_ends.link)
    with serving(own) as (_, client):
        done = queue(client)
        first = result_of(client, done)
    with serving(own) as (_, client):
        path = queue(client, model="model.safetensors", repeat=DRAWS)
        last = queue(client, seed=9)
    for n_events in MOMENTS:
        with serving(own) as (process, client):
            for _ in zip(range(n_events), events_of(client, path), strict=False):
                pass
            process.kill()
    with serving(own) as (_, client):
        result = result_of(client, path)
        assert result_of(client, done) == first
        result_of(client, last)
        assert len(client.get("/sends").json()["sends"]) == 3
    states = own_ends.transmissions()
    assert sorted(states.values()) == ["done"] * (DRAWS + 2)
    assert set(result["transmissions"]) < set(states)
    words = ("--no-evaluate", "--std=0.3", f"--model={model_path}", f"--repeat={DRAWS}")
    assert comparable(result) == comparable(client_send(f"--link={own_ends.link}", *words))
    assert not list((own.data / "scratch").rglob("*.safetensors"))


@pytest.mark.parametrize("phase", ["encode", "send", "decode"])
def test_a_worker_killed_in_a_phase_is_replaced_and_the_draw_is_gone_on_with(
    phase: str, serving: Any, settings: Any, own_ends: Any, queue: Any, result_of: Any,
    comparable: Any, children: Any,
) -> None:  # fmt: skip
    with serving(settings(own_ends.link)) as (process, client):
        path = queue(client, model="model.safetensors", repeat=2)
        next(now for now in events_of(client, path) if is_at(now, 1, phase))
        os.kill(worker_of(process.pid, children), signal.SIGKILL)
        interrupted = result_of(client, path)
        again = result_of(client, queue(client, model="model.safetensors", repeat=2))
    assert comparable(interrupted) == comparable(again)
    assert sorted(own_ends.transmissions().values()) == ["done"] * 4


def test_a_receiver_that_comes_back_is_sent_the_rest(
    sender: Any, settings: Any, running: Any, queue: Any, result_of: Any, tmp_path: Path
) -> None:
    with running(tmp_path / "receiver") as (_, url):
        port = int(url.rpartition(":")[2])
    with (
        running(None, receiver=url) as (_, link),
        sender(settings(link)) as client,
    ):
        path = queue(client)
        while client.get(path).json()["state"] != "sending":
            pass
        with running(tmp_path / "receiver", port=port):
            assert result_of(client, path)["n_weights"] == 1000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, INTERRUPTED)])
def test_a_signal_ends_the_service_and_its_worker_and_the_send_is_resumed(
    number: int, code: int, serving: Any, settings: Any, ends: Any, queue: Any, result_of: Any,
    children: Any,
) -> None:  # fmt: skip
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = settings(ends.link)
    with serving(own) as (process, client):
        path = queue(client, model="model.safetensors", repeat=2)
        next(now for now in events_of(client, path) if is_at(now, 0, "encode"))
        watch = os.pidfd_open(worker_of(process.pid, children))
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # As a terminal does: the worker is sent it too.
        else:
            process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert select.select([watch], [], [], 0)[0]
        os.close(watch)
        assert process.returncode == code
        assert "Traceback" not in err
    with serving(own) as (_, client):
        assert len(result_of(client, path)["transmissions"]) == 2


def test_a_second_service_on_the_same_folder_is_refused(
    serving: Any, settings: Any, silent: str
) -> None:
    own = settings(silent)
    with serving(own) as (_, client), serving(own) as (second, _):
        assert second.wait(30) == 2
        assert client.get("/health").status_code == 200


def test_the_first_send_is_sent_once_and_told_at_every_start(
    sender: Any, settings: Any, own_ends: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = SendBody(model="small.safetensors", std=0.25, setup={"task": None})
    caplog.set_level("INFO")
    lines = []
    for _ in range(2):
        caplog.clear()
        with sender(settings(own_ends.link), first=first) as client:
            while not (told := [m for m in caplog.messages if m.startswith("the first send")]):
                pass
            lines += told
            assert len(client.get("/sends").json()["sends"]) == 1
    assert lines[0] == lines[1]
    assert lines[0].startswith("the first send, small.safetensors at std 0.25, arrived with ")
    assert len(own_ends.transmissions()) == 1


PLUGINS = Path(__file__).parents[3] / "docs/plugins"


def test_plug_ins_go_through_services_that_have_them(
    serving: Any, settings: Any, running: Any, queue: Any, result_of: Any, plugins_forgotten: None,
    small_path: Path, tmp_path: Path,
) -> None:  # fmt: skip
    files = [PLUGINS / name for name in ("scheme.py", "channel.py", "decoder.py")]
    listed = ",".join(map(str, files))
    env = os.environ | {f"WEIGHTCAST_{who}_PLUGINS": listed for who in ("LINK", "SERVER")}
    setup = {
        "scheme": "tensor-range",
        "channel": {"name": "bursts", "std": 0.3, "share": 0.1},
        "decoder": "shrink",
    }
    with (
        running(tmp_path / "receiver", env=env) as (_, url),
        running(None, receiver=url, env=env) as (_, link),
        serving(settings(link), *(f"--plugin={file}" for file in files)) as (_, client),
    ):
        result = result_of(client, queue(client, std=None, **setup))
    for file in files:
        plugins.load(file, KINDS)
    with open_model(small_path) as model:
        arrived = transmit(model, Setup.from_spec(setup), model.layout.weights)
    assert result["weights_digest"] == hashlib.sha256(arrived.data).hexdigest()


@pytest.mark.parametrize("lacks", ["LINK", "SERVER"])
def test_a_service_without_the_plug_in_refuses_what_needs_it(
    lacks: str, serving: Any, settings: Any, running: Any, queue: Any, tmp_path: Path
) -> None:
    file = PLUGINS / "channel.py"
    has = "SERVER" if lacks == "LINK" else "LINK"
    env = os.environ | {f"WEIGHTCAST_{has}_PLUGINS": str(file)}
    with (
        running(tmp_path / "receiver", env=env) as (_, url),
        running(None, receiver=url, env=env) as (_, link),
        serving(settings(link), f"--plugin={file}") as (_, client),
    ):
        path = queue(client, channel="bursts")
        client.get(f"{path}/events")
        found = client.get(path).json()
    assert found["state"] == "failed"
    assert "no channel 'bursts'; known: awgn, cascade, noiseless" in found["error"]["detail"]


@pytest.mark.cifar
@pytest.mark.slow
def test_a_shipped_model_arrives_with_the_accuracy_that_the_command_prints(
    sender: Any, settings: Any, ends: Any, result_of: Any, comparable: Any, client_send: Any
) -> None:
    with sender(settings(ends.link)) as client:
        answer = client.post("/sends", json={"std": 0.1, "setup": {"n_samples": 100}})
        sent = result_of(client, answer.headers["location"])
    printed = client_send("--std=0.1", "--limit=100", f"--link={ends.link}")
    assert sent["n_images"] == 100
    assert sent["accuracy"] > 80
    assert comparable(sent) == comparable(printed)
