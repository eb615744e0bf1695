"""`client send` over real services: a setup gives what the pipeline gives, `--out` keeps it."""

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np
import pytest
from driver.commands import Call
from driver.services import Ends
from safetensors.numpy import load_file, save_file

from weightcast.models.weights import open_model
from weightcast.pipeline import transmit
from weightcast.setup import Setup

STAGES = [{"name": "awgn", "std": 0.3}, {"name": "noiseless"}, {"name": "awgn", "std": 0.4}]


@pytest.fixture(scope="module")
def link(ends: Ends) -> str:
    """The URL of a link in a process of its own, with a receiver behind it."""
    return ends.link.url


class Send(Protocol):
    """The fixture `send`: sends a model with these words."""

    def __call__(self, path: Path, *words: str) -> dict[str, Any]:
        """Return the result."""


@pytest.fixture
def send(call: Call, link: str) -> Send:
    """A call that sends a model and returns the result."""

    def sent(path: Path, *words: str) -> dict[str, Any]:
        ran = call("send", "--no-evaluate", "--json", f"--model={path}", f"--link={link}", *words)
        assert (ran.code, ran.err) == (0, "")
        result: dict[str, Any] = json.loads(ran.out)
        return result

    return sent


def pipeline_digest(path: Path, **spec: Any) -> str:
    """Return the SHA-256 of the weights that the pipeline receives."""
    with open_model(path) as model:
        return hashlib.sha256(transmit(model, Setup.from_spec(spec)).data).hexdigest()


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (
            ["--std=0.3", "--decoder=clipped"],
            {"decoder": "clipped", "channel": {"name": "awgn", "std": 0.3}},
        ),
        (
            ["--std=0.3", "--decoder=clipped", "--decoder-set=limit=1.5", "--scheme=unprotected"],
            {
                "decoder": {"name": "clipped", "limit": 1.5},
                "channel": {"name": "awgn", "std": 0.3},
                "scheme": "unprotected",
            },
        ),
        (
            ["--channel=cascade", f"--channel-set=stages={json.dumps(STAGES)}", "--seed=5"],
            {"channel": {"name": "cascade", "stages": STAGES}, "seed": 5},
        ),
        (["--snr-db=20"], {"channel": {"name": "awgn", "std": 0.1}}),
        (["--channel=noiseless", "--set=r_small=2"],
         {"channel": "noiseless", "scheme": {"name": "adaptive-redundancy", "r_small": 2}}),
    ],
    ids=["clipped", "clipped further", "cascade", "peak SNR", "noiseless"],
)  # fmt: skip
def test_what_arrives_over_real_services_is_what_the_pipeline_computes(
    words: list[str], spec: dict[str, Any], send: Send, model_path: Path
) -> None:
    result = send(model_path, *words)
    assert result["weights_digest"] == pipeline_digest(model_path, **spec)
    assert result["setup"] == Setup.from_spec(spec).spec()


def test_a_cascade_has_the_noise_of_its_stages_and_no_std_of_its_own(
    send: Send, model_path: Path
) -> None:
    cascade = f"--channel-set=stages={json.dumps(STAGES)}"
    result = send(model_path, "--scheme=unprotected", "--channel=cascade", cascade)
    assert (result["channel"], result["std"], result["peak_snr_db"]) == ("cascade", None, None)
    alone = send(model_path, "--scheme=unprotected", "--std=0.5")
    # Two means of 2,300,000 squares: five standard errors of their difference.
    error = 5 * (2 * 2 / 2_300_000) ** 0.5
    assert result["weight_mse"] == pytest.approx(alone["weight_mse"], rel=error)
    assert result["weights_digest"] != alone["weights_digest"]
    assert result["capacity"] == pytest.approx(alone["capacity"], rel=1e-12)


@pytest.mark.parametrize("out", ["received.safetensors", "deep/down/received.safetensors"])
def test_the_received_model_is_kept_where_it_is_wanted(
    out: str, send: Send, model_path: Path, tmp_path: Path
) -> None:
    result = send(model_path, "--std=0.3", f"--out={tmp_path / out}")
    with open_model(tmp_path / out) as kept:
        assert hashlib.sha256(kept[0 : len(kept)].data).hexdigest() == result["weights_digest"]
    ours, theirs = load_file(model_path), load_file(tmp_path / out)
    assert {n: t.shape for n, t in theirs.items()} == {n: t.shape for n, t in ours.items()}
    assert theirs["layer.bias"].tobytes() == ours["layer.bias"].tobytes()
    assert theirs["count"] == ours["count"]
    assert not list(tmp_path.rglob("*.new"))


def test_a_folder_is_kept_as_a_folder(send: Send, small_path: Path, tmp_path: Path) -> None:
    result = send(small_path, "--std=0.3", f"--out={tmp_path / 'kept'}")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["model.safetensors"]
    with open_model(tmp_path / "kept") as kept:
        assert hashlib.sha256(kept[0 : len(kept)].data).hexdigest() == result["weights_digest"]


@pytest.mark.parametrize("out", ["received.safetensors", "received"])
def test_what_is_there_is_refused_before_anything_is_sent_and_goes_by_force(
    out: str, call: Call, send: Send, small_path: Path, tmp_path: Path, link: str
) -> None:
    place = tmp_path / out
    send(small_path, "--std=0.3", "--seed=1", f"--out={place}")
    file = place if place.is_file() else place / "model.safetensors"
    before, n_before = file.read_bytes(), n_transmissions(link)
    words = ("--no-evaluate", "--json", f"--model={small_path}", f"--link={link}", "--std=0.3")
    ran = call("send", *words, f"--out={place}")
    assert (ran.code, ran.out, ran.err) == (2, "", f"error: '{place}' is there already\n")
    assert file.read_bytes() == before
    assert n_transmissions(link) == n_before
    send(small_path, "--std=0.3", "--seed=2", f"--out={place}", "--force")
    assert file.read_bytes() != before
    assert n_transmissions(link) == n_before + 1


def n_transmissions(link: str) -> int:
    return len(httpx.get(f"{link}/transmissions").json()["transmissions"])


def test_force_takes_nothing_away_that_is_no_model(
    call: Call, small_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("1")
    (tmp_path / "folder.safetensors").mkdir()
    words = ("send", "--std=0.3", f"--model={small_path}", "--link=http://127.0.0.1:1", "--force")
    ran = call(*words, f"--out={tmp_path / 'thesis'}")
    assert ran.code == 2
    assert "holds more than a model: chapter.txt" in ran.err
    ran = call(*words, f"--out={tmp_path / 'folder.safetensors'}")
    assert ran.code == 2
    assert "is there already and is not a file" in ran.err
    assert (tmp_path / "thesis/chapter.txt").read_text() == "1"


def test_a_send_that_fails_keeps_nothing(call: Call, small_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "received.safetensors"
    words = ("send", "--no-evaluate", "--std=0.3", f"--model={small_path}", f"--out={out}")
    ran = call(*words, "--link=http://127.0.0.1:1")
    assert ran.code == 2
    assert list(tmp_path.iterdir()) == []


def test_what_a_sender_should_know_is_a_line_each_and_none_stops_it(
    call: Call, link: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": np.linspace(-1, 1, 100, dtype=np.float32).reshape(10, 10)}, path)
    words = ("--no-evaluate", "--json", "--std=0.1", f"--model={path}", f"--link={link}")
    ran = call("send", *words, "--exclude=head.*", "--include=w", "--include=w*")
    assert ran.code == 0
    assert ran.err.splitlines() == ["warning: the pattern 'head.*' matches no tensor"]
    assert json.loads(ran.out)["n_weights"] == 100
