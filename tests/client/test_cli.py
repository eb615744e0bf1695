"""The command `client`: one line and the right exit code for whatever cannot be done."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from driver.commands import Call, Ran
from driver.services import Driver, Ends
from safetensors.numpy import save_file

import weightcast
from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS
from weightcast.models import zoo
from weightcast.tasks import TASKS
from weightcast_link.cli import app as link_app
from weightcast_server.cli import app as server_app
from weightcast_web.running.sockets import bind, url_of


def is_one_line(ran: Ran, code: int, says: str) -> bool:
    assert (ran.code, ran.out) == (code, ""), ran
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1, ran.err
    assert says in ran.err
    return True


KNOWN_SCHEMES = ", ".join(sorted(SCHEMES))
SEND = ("send", "--no-evaluate", "--json")
NESTED = '[{"name": "cascade", "stages": ' * 400 + "[]" + "}]" * 400


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "channel 'awgn' needs the param 'std'"),
        (("--std=-0.1",), "std must be in 0 .. 1e+06, got -0.1"),
        (("--std=nan",), "std must be in 0 .. 1e+06, got nan"),
        (("--std=inf",), "std must be in 0 .. 1e+06, got inf"),
        (("--std=loud",), "'--std': "),
        (("--std=0.1", "--scheme=adaptve"), "no scheme 'adaptve'; known: " + KNOWN_SCHEMES),
        (("--std=0.1", "--channel=fog"), "no channel 'fog'; known: " + ", ".join(sorted(CHANNELS))),
        (("--std=0.1", "--model=nothing"), "the shipped: " + ", ".join(zoo.models())),
        (("--std=0.1", "--model=/"), "the folder '/' has no safetensors file"),
        (("--std=0.1", "--set=r_large=0"), "r_large must be in 1 .. 1000, got 0"),
        (("--std=0.1", "--set=r_large=many"), "'r_large', must be an integer, got 'many'"),
        (("--std=0.1", "--set=rlarge=2"), "has no param 'rlarge'; known: "),
        (("--std=0.1", "--set=r_large"), "expected key=value, got 'r_large'"),
        (("--channel=noiseless", "--std=0.1"), "channel 'noiseless' has no param 'std'"),
        (("--std=0.1", "--seed=-1"), "seed must be in 0 .. 2**64 - 1, got -1"),
        (("--std=0.1", f"--seed={2**64}"), "seed must be in 0 .. 2**64 - 1"),
        (("--std=0.1", "--repeat=0"), "'--repeat': "),
        (("--std=0.1", "--limit=0"), "'--limit': "),
        (("--std=0.1", "--include=["), "has no tensor that could be sent as weights"),
        (("--std=0.1", "--set=r_large=2", "--set=r_large=3"), "'r_large' is given twice: 2 and 3"),
        (("--std=0.1", "--snr-db=20"), "--std and --snr-db say the same thing: give one of them"),
        (("--snr-db=loud",), "'--snr-db': "),
        (("--std=0.1", "--decoder=oracle"), "no decoder 'oracle'; known: clipped, half-normal"),
        (("--std=0.1", "--decoder=clipped", "--decoder-set=limit=0"), "limit must be at least 1"),
        (("--std=0.1", "--decoder-set=limit=2"), "decoder 'inversion' has no param 'limit'"),
        (("--channel=cascade", "--channel-set=stages=[]"), "a cascade has 1 to 8 stages, got 0"),
        (("--channel=cascade", "--channel-set=stages=fog"), "'stages', must be a list, got 'fog'"),
        (("--channel=cascade", f"--channel-set=stages={NESTED}"), "specs within specs, too many"),
        (("--channel=cascade", f"--channel-set=stages={'[' * 9999}"), "too many to read"),
        (("--std=0.1", "--repeat=2", "--out=m.safetensors"), "the model of one draw"),
        (("--std=0.1", "--plugin=/nowhere.py"), "a plug-in is a Python file, got '/nowhere.py'"),
        (("--std=0.1", "--plugin=/"), "a plug-in is a Python file, got '/'"),
        (("--std=0.1", "--sdt=1"), "--sdt"),
        (("--std=0.1", "--link=localhost:1"), "no receiver at localhost:1"),
        (("--std=0.1", "--link=http://[::1"), "is not a URL"),
        (("--std=0.1", "--link=http://a", "--receiver=http://b"), "--link and --receiver contra"),
        (("--std=0.1", "--task=mnist"), "--no-evaluate and --task contradict each other: give one"),
        (("--std=0.1", "--task-set=model=cnn"), "--no-evaluate and --task-set contradict"),
        (("--std=0.1", "--limit=5"), "--no-evaluate and --limit contradict each other"),
        (("--std=0.1", "--force"), "--force is for --out, which is not given"),
        (("--std=0.1", "--model=\x1b[2Jx"), r"no model '\x1b[2Jx': neither a file or folder"),
        (("--std=0.1", "--scheme=\x1b[2Jx"), r"no scheme '\x1b[2Jx'; known"),
    ],
)  # fmt: skip
def test_bad_use_of_send_is_told_in_one_line(words: tuple[str, ...], says: str, call: Call) -> None:
    assert is_one_line(call(*SEND, *words), 2, says)


def test_more_large_weights_than_weights_are_refused(call: Call, small_path: Path) -> None:
    ran = call(*SEND, "--std=0.1", f"--model={small_path}", "--set=n_large=1001")
    assert is_one_line(ran, 2, "n_large must be at most the number of weights 1000, got 1001")


def test_a_weight_that_is_not_a_number_is_refused(call: Call, tmp_path: Path) -> None:
    weights = np.ones((10, 10), np.float32)
    weights[3, 4] = np.nan
    save_file({"w": weights}, tmp_path / "model.safetensors")
    ran = call(*SEND, "--std=0.1", f"--model={tmp_path / 'model.safetensors'}")
    assert is_one_line(ran, 2, "tensor 'w' at [3, 4] is nan; weights must be finite")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 a pickle perhaps", b"\xff" * 100])
def test_a_file_that_is_not_safetensors_is_refused(
    content: bytes, call: Call, tmp_path: Path
) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(content)
    ran = call(*SEND, "--std=0.1", f"--model={file}")
    assert is_one_line(ran, 2, f"'{file}' is not a safetensors file")


def test_a_model_that_cannot_be_evaluated_is_refused_before_anything_starts(
    call: Call, small_path: Path
) -> None:
    ran = call("send", "--std=0.1", f"--model={small_path}")
    says = "no task is known for this model's tensors: name one (--task), or send it without"
    assert is_one_line(ran, 2, says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--limit=10001",), "n_samples must be 1 .. 10000 for test, got 10001"),
        (("--task=chess",), "no task 'chess'; known: " + ", ".join(sorted(TASKS))),
        (("--task-set=model=mlp",), "--task-set needs --task"),
        (("--task=cifar10", "--task-set=model=mlp"), "task 'cifar10' has no param 'model'"),
        (("--task=mnist",), "not the tensors of mnist: "),
    ],
)
def test_a_task_that_cannot_be_is_refused_before_anything_starts(
    words: tuple[str, ...], says: str, call: Call
) -> None:
    assert is_one_line(call("send", "--std=0.1", "--link=http://127.0.0.1:1", *words), 2, says)


def test_an_equalised_model_never_takes_the_place_of_a_file(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    out.write_text("mine")
    assert is_one_line(call("equalise", zoo.DEFAULT_MODEL, str(out)), 2, "is there already")
    assert out.read_text() == "mine"


@pytest.mark.parametrize("option", ["--link", "--receiver"])
def test_an_absent_service_is_told_with_its_address(option: str, call: Call) -> None:
    with bind("127.0.0.1", 0) as listener:
        url = url_of(listener)
    ran = call(*SEND, "--std=0.1", f"{option}={url}")
    assert is_one_line(ran, 2, "no receiver at http://127.0.0.1:")


def test_a_link_from_the_environment_is_used_unless_a_receiver_is_given(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTCAST_CLIENT_LINK", "http://127.0.0.1:1")
    assert is_one_line(call(*SEND, "--std=0.1"), 2, "no receiver at http://127.0.0.1:1")
    for option in ("--link", "--receiver"):
        ran = call(*SEND, "--std=0.1", f"{option}=http://127.0.0.1:2")
        assert is_one_line(ran, 2, "no receiver at http://127.0.0.1:2")


def test_a_sender_service_without_a_link_is_refused(call: Call) -> None:
    ran = call("serve", "--port=0")
    assert is_one_line(ran, 2, "needs a link: --link or WEIGHTCAST_CLIENT_LINK")


def test_a_first_send_that_cannot_be_sent_is_refused_at_the_start(call: Call) -> None:
    ran = call("serve", "--port=0", "--link=http://127.0.0.1:1", "--first-std=-1")
    assert is_one_line(ran, 2, "std must be in 0 .. 1e+06, got -1.0")


@pytest.mark.parametrize("app", [link_app, server_app], ids=["link", "server"])
def test_a_port_that_is_taken_or_none_is_refused(
    app: typer.Typer, call: Call, tmp_path: Path
) -> None:
    words = ("run", f"--data={tmp_path}") if app is server_app else ()
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        ran = call(*words, f"--port={port}", app=app)
        assert is_one_line(ran, 2, f"cannot listen on 127.0.0.1:{port}: Address already in use")
    too_high = call(*words, "--port=70000", app=app)
    assert is_one_line(too_high, 2, "--port must be at most 65535, got 70000")
    assert is_one_line(call(*words, "--host=8.8.8.8", app=app), 2, "cannot listen on 8.8.8.8:")
    assert is_one_line(call(*words, "--attached=99", app=app), 2, "descriptor 99 is not a socket")


def test_a_setting_that_cannot_be_read_is_told_in_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTCAST_CLIENT_TRIES", "often")
    says = "WEIGHTCAST_CLIENT_TRIES must be an integer, got 'often'"
    assert is_one_line(call(*SEND, "--std=0.1"), 2, says)


def test_without_a_command_the_help_is_shown(call: Call) -> None:
    ran = call()
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.count("\n") > 10
    assert "error" not in ran.err


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--help",), ["send", "schemes", "channels", "models", "data"]),
        (("send", "--help"), ["--std", "--scheme", "--json"]),
        (("--version",), [f"weightcast {weightcast.__version__}"]),
        (("schemes",), list(SCHEMES)),
        (("decoders",), [*DECODERS, "limit=1"]),
        (("channels",), [*CHANNELS, "stages"]),
        (("tasks",), [*TASKS, "model='mlp'"]),
        (("models",), list(zoo.models())),
    ],
)
def test_what_there_is_is_listed_without_loading_torch(
    words: tuple[str, ...], names: list[str]
) -> None:
    code = (
        "import sys; from weightcast_client.cli import app;"
        f"app({list(words)!r}, standalone_mode=False);"
        "assert not {'torch', 'sqlalchemy', 'fastapi'} & set(sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"COLUMNS": "200"}
    )
    assert ran.returncode == 0, ran.stderr
    for name in names:
        assert name in ran.stdout
    assert ":math:" not in ran.stdout


def test_a_model_is_sent_by_services_of_ones_own(call: Call, small_path: Path) -> None:
    ran = call(*SEND, "--std=0.1", f"--model={small_path}", "--repeat=2")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("\n") == 1
    result = json.loads(ran.out)
    assert result["n_weights"] == 1000
    assert result["accuracy"] is None
    assert len(result["transmissions"]) == 2


def test_a_receiver_elsewhere_gets_a_link_of_ones_own(
    call: Call, driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    with driver.receiver(tmp_path) as receiver:
        ran = call(*SEND, "--std=0.1", f"--receiver={receiver.url}", f"--model={small_path}")
        assert (ran.code, ran.err) == (0, "")
        id_ = json.loads(ran.out)["transmission"]
        assert (tmp_path / "transmissions" / id_ / "model.safetensors").exists()


def test_a_key_of_any_characters_goes_on_with_what_was_sent_under_it(
    call: Call, ends: Ends, small_path: Path
) -> None:
    link = ends.link.url

    def sent(*words: str) -> dict[str, Any]:
        ran = call(*SEND, f"--link={link}", f"--model={small_path}", "--repeat=2", *words)
        assert (ran.code, ran.err) == (0, "")
        result: dict[str, Any] = json.loads(ran.out)
        del result["seconds"]
        return result

    first = sent("--std=0.1", "--key=été / 1")
    assert sent("--std=0.1", "--key=été / 1") == first
    assert sent("--std=0.1")["transmissions"] != first["transmissions"]
    ran = call(*SEND, f"--link={link}", f"--model={small_path}", "--std=0.2", "--key=été / 1")
    assert is_one_line(ran, 2, "this Idempotency-Key came with another header before")


def test_a_result_for_people_names_what_was_sent(call: Call, small_path: Path) -> None:
    ran = call("send", "--no-evaluate", "--std=0.25", f"--model={small_path}")
    assert ran.code == 0
    for text in (
        "small.safetensors by adaptive-redundancy over",
        "0.25",
        "1,000",
        "weight MSE",
    ):
        assert text in ran.out
