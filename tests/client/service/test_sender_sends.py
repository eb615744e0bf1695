"""What the sender service sends is what the command sends, whatever happens meanwhile."""

import hashlib
import os
import select
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver.processes import until
from driver.senders import Senders, client_send, comparable
from driver.services import Driver, Ends
from pydantic import SecretStr

from weightcast import plugins
from weightcast.models.weights import open_model
from weightcast.pipeline import transmit
from weightcast.setup import KINDS, Setup
from weightcast_client.service.bodies import SendBody
from weightcast_web.running.command import INTERRUPTED

DRAWS = 3


def is_at(now: dict[str, Any], draw: int, phase: str) -> bool:
    """Whether a send is in a phase of a draw, or beyond that."""
    progress = now["progress"] or {"draw": -1, "phases": {}}
    begun = progress["draw"] == draw and phase in progress["phases"]
    return begun or progress["draw"] > draw or now["state"] == "done"


def test_a_send_gives_the_result_of_the_command_bit_for_bit(
    senders: Senders, ends: Ends, model_path: Path
) -> None:
    with senders.join(ends.link.url) as sender:
        path = sender.queue(model="model.safetensors", repeat=2, seed=4)
        phases = [now["progress"] for now in sender.states(path) if now["progress"]]
        sent = sender.result_of(path)
    words = ("--no-evaluate", "--std=0.3", f"--model={model_path}", "--repeat=2", "--seed=4")
    printed = client_send(f"--link={ends.link.url}", *words)
    assert list(sent) == list(printed)
    assert comparable(sent) == comparable(printed)
    assert sent["transmissions"] != printed["transmissions"]
    assert {p["draw"] for p in phases} >= {0, 1}
    assert {p["draws"] for p in phases} == {2}
    assert {name for p in phases for name in p["phases"]} >= {"encode", "send", "decode"}


@pytest.mark.slow
def test_the_token_is_shown_to_the_link(senders: Senders, driver: Driver, tmp_path: Path) -> None:
    token = "a-secret-of-these-services"
    env = {f"WEIGHTCAST_{who}_TOKEN": token for who in ("LINK", "SERVER")}
    with (
        driver.ends(tmp_path / "receiver", env=env) as ends,
        senders.join(ends.link.url, token=SecretStr(token)) as sender,
    ):
        sender.headers["authorization"] = f"Bearer {token}"
        body = {"model": "small.safetensors", "std": 0.3, "setup": {"task": None}}
        path = sender.post("/sends", json=body).headers["location"]
        assert sender.result_of(path)["n_weights"] == 1000


def test_a_send_that_fails_at_the_other_end_tells_why(senders: Senders, ends: Ends) -> None:
    with senders.join(ends.link.url) as sender:
        path = sender.queue(scheme={"name": "adaptive-redundancy", "n_large": 1001})
        found = sender.end_of(path)
        assert (found["state"], found["result"]) == ("failed", None)
        assert found["error"] == {
            "kind": "ParameterError",
            "detail": "n_large must be at most the number of weights 1000, got 1001",
        }
        refused = sender.cancel(path)
        assert refused.status_code == 409
        assert refused.json()["detail"] == "the send is failed"


@pytest.mark.slow
def test_cancelling_a_running_send_ends_its_work_and_deletes_what_it_has_begun(
    senders: Senders, own_ends: Ends
) -> None:
    with senders.run(own_ends.link.url) as sender:
        path, next_path = sender.queue(model="model.safetensors", repeat=50), sender.queue()
        worker = sender.worker()
        next(now for now in sender.states(path) if is_at(now, 1, "encode"))
        watch = os.pidfd_open(worker)
        assert sender.cancel(path).json()["state"] == "cancelled"
        assert select.select([watch], [], [], 30)[0]
        os.close(watch)
        sender.result_of(next_path)
        assert sender.state(path)["result"] is None
    assert set(own_ends.states().values()) == {"done"}


@pytest.mark.slow
def test_what_a_cancelled_send_has_begun_is_deleted_once_the_link_is_back(
    senders: Senders, driver: Driver, tmp_path: Path
) -> None:
    with driver.receiver(tmp_path / "receiver") as receiver:
        with driver.link(receiver.url) as link, senders.run(link.url) as sender:
            path = sender.queue(model="model.safetensors", repeat=50)
            next(now for now in sender.states(path) if is_at(now, 0, "encode"))
            link.process.kill()
            assert sender.cancel(path).json()["state"] == "cancelled"
        assert len(receiver.listed()) == 1
        with (
            driver.link(receiver.url, port=link.port),
            senders.run(link.url),
        ):
            while receiver.listed():
                pass


MOMENTS = np.random.Generator(np.random.Philox(7)).integers(1, 12, 4)


@pytest.mark.slow
def test_a_sender_killed_at_any_moment_sends_everything_exactly_once(
    senders: Senders, own_ends: Ends, model_path: Path
) -> None:
    with senders.run(own_ends.link.url) as sender:
        done = sender.queue()
        first = sender.result_of(done)
    with senders.run(own_ends.link.url) as sender:
        path = sender.queue(model="model.safetensors", repeat=DRAWS)
        last = sender.queue(seed=9)
    for n_events in MOMENTS:
        with senders.run(own_ends.link.url) as sender:
            for _ in zip(range(n_events), sender.states(path), strict=False):
                pass
            sender.process.kill()
    with senders.run(own_ends.link.url) as sender:
        result = sender.result_of(path)
        assert sender.result_of(done) == first
        sender.result_of(last)
        assert len(sender.listed()) == 3
    states = own_ends.states()
    assert sorted(states.values()) == ["done"] * (DRAWS + 2)
    assert set(result["transmissions"]) < set(states)
    words = ("--no-evaluate", "--std=0.3", f"--model={model_path}", f"--repeat={DRAWS}")
    assert comparable(result) == comparable(client_send(f"--link={own_ends.link.url}", *words))
    assert not list((senders.data / "scratch").rglob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["encode", "send", "decode"])
def test_a_worker_killed_in_a_phase_is_replaced_and_the_draw_is_gone_on_with(
    phase: str, senders: Senders, own_ends: Ends
) -> None:
    with senders.run(own_ends.link.url) as sender:
        path = sender.queue(model="model.safetensors", repeat=2)
        next(now for now in sender.states(path) if is_at(now, 1, phase))
        os.kill(sender.worker(), signal.SIGKILL)
        interrupted = sender.result_of(path)
        again = sender.result_of(sender.queue(model="model.safetensors", repeat=2))
    assert comparable(interrupted) == comparable(again)
    assert sorted(own_ends.states().values()) == ["done"] * 4


@pytest.mark.slow
def test_a_receiver_that_comes_back_is_sent_the_rest(
    senders: Senders, driver: Driver, tmp_path: Path
) -> None:
    with driver.receiver(tmp_path / "receiver") as receiver:
        pass
    with (
        driver.link(receiver.url) as link,
        senders.join(link.url) as sender,
    ):
        path = sender.queue()
        until(lambda: sender.state(path)["state"] == "sending")
        with driver.receiver(tmp_path / "receiver", port=receiver.port):
            assert sender.result_of(path)["n_weights"] == 1000


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, INTERRUPTED, marks=pytest.mark.slow)],
)
def test_a_signal_ends_the_service_and_its_worker_and_the_send_is_resumed(
    number: int, code: int, senders: Senders, ends: Ends
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with senders.run(ends.link.url) as sender:
        path = sender.queue(model="model.safetensors", repeat=2)
        next(now for now in sender.states(path) if is_at(now, 0, "encode"))
        watch = os.pidfd_open(sender.worker())
        if number == signal.SIGINT:
            os.killpg(sender.process.pid, number)  # As a terminal does: the worker is sent it too.
        else:
            sender.process.send_signal(number)
        _, err = sender.process.communicate(timeout=30)
        assert select.select([watch], [], [], 0)[0]
        os.close(watch)
        assert sender.process.returncode == code
        assert "Traceback" not in err
    with senders.run(ends.link.url) as sender:
        assert len(sender.result_of(path)["transmissions"]) == 2


def test_a_second_service_on_the_same_folder_is_refused(senders: Senders, silent: str) -> None:
    with senders.run(silent) as sender, senders.run(silent) as second:
        assert second.process.wait(30) == 2
        assert sender.get("/health").status_code == 200


@pytest.mark.slow
def test_the_first_send_is_sent_once_and_told_at_every_start(
    senders: Senders, own_ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    first = SendBody(model="small.safetensors", std=0.25, setup={"task": None})
    caplog.set_level("INFO")
    lines = []
    for _ in range(2):
        caplog.clear()
        with senders.join(own_ends.link.url, first=first) as sender:
            while not (told := [m for m in caplog.messages if m.startswith("the first send")]):
                pass
            lines += told
            assert len(sender.listed()) == 1
    assert lines[0] == lines[1]
    assert lines[0].startswith("the first send, small.safetensors at std 0.25, arrived with ")
    assert len(own_ends.states()) == 1


PLUGINS = Path(__file__).parents[3] / "docs/plugins"


@pytest.mark.slow
def test_plug_ins_go_through_services_that_have_them(
    senders: Senders, driver: Driver, plugins_forgotten: None, small_path: Path, tmp_path: Path
) -> None:
    files = [PLUGINS / name for name in ("scheme.py", "channel.py", "decoder.py")]
    listed = ",".join(map(str, files))
    env = {f"WEIGHTCAST_{who}_PLUGINS": listed for who in ("LINK", "SERVER")}
    setup: dict[str, Any] = {
        "scheme": "tensor-range",
        "channel": {"name": "bursts", "std": 0.3, "share": 0.1},
        "decoder": "shrink",
    }
    with (
        driver.ends(tmp_path / "receiver", env=env) as ends,
        senders.run(ends.link.url, *(f"--plugin={file}" for file in files)) as sender,
    ):
        result = sender.result_of(sender.queue(std=None, **setup))
    for file in files:
        plugins.load(file, KINDS)
    with open_model(small_path) as model:
        arrived = transmit(model, Setup.from_spec(setup), model.layout.weights)
    assert result["weights_digest"] == hashlib.sha256(arrived.data).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("lacks", ["LINK", "SERVER"])
def test_a_service_without_the_plug_in_refuses_what_needs_it(
    lacks: str, senders: Senders, driver: Driver, tmp_path: Path
) -> None:
    file = PLUGINS / "channel.py"
    has = "SERVER" if lacks == "LINK" else "LINK"
    env = {f"WEIGHTCAST_{has}_PLUGINS": str(file)}
    with (
        driver.ends(tmp_path / "receiver", env=env) as ends,
        senders.run(ends.link.url, f"--plugin={file}") as sender,
    ):
        path = sender.queue(channel="bursts")
        found = sender.end_of(path)
    assert found["state"] == "failed"
    assert "no channel 'bursts'; known: awgn, cascade, " in found["error"]["detail"]


@pytest.mark.cifar
@pytest.mark.slow
def test_a_shipped_model_arrives_with_the_accuracy_that_the_command_prints(
    senders: Senders, ends: Ends
) -> None:
    with senders.join(ends.link.url) as sender:
        answer = sender.post("/sends", json={"std": 0.1, "setup": {"n_samples": 100}})
        sent = sender.result_of(answer.headers["location"])
    printed = client_send("--std=0.1", "--limit=100", f"--link={ends.link.url}")
    assert sent["n_images"] == 100
    assert sent["accuracy"] > 80
    assert comparable(sent) == comparable(printed)
