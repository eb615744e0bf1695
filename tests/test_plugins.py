"""The examples of docs/plugins, and what is not a plug-in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

import weightcast
from weightcast import plugins
from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.errors import ParameterError
from weightcast.noise.gaussian import Noise
from weightcast.registry import build
from weightcast.setup import KINDS, Setup

FOLDER = Path(__file__).parents[1] / "docs/plugins"
EXAMPLES = {"scheme": "tensor-range", "channel": "bursts", "decoder": "shrink", "task": "clouds"}
WORDS = [
    *("--scheme=tensor-range", "--decoder=shrink"),
    *("--channel=bursts", "--channel-set=share=0.1", "--std=0.2", "--seed=3"),
]
SETUP = {
    "scheme": "tensor-range",
    "decoder": "shrink",
    "channel": {"name": "bursts", "std": 0.2, "share": 0.1},
    "seed": 3,
}
FILES = [f"--plugin={FOLDER / name}.py" for name in EXAMPLES]


@pytest.fixture(scope="module", autouse=True)
def loaded(plugins_forgotten: None) -> None:
    for name in EXAMPLES:
        plugins.load(FOLDER / f"{name}.py", KINDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for `clouds`, trained for a moment."""
    import torch

    from weightcast.tasks import TASKS

    task: Any = build(TASKS, "clouds")
    torch.manual_seed(0)
    network, samples = task.network(), task.samples(Path(), "train")
    x, labels = samples.inputs(np.arange(len(samples))), torch.from_numpy(samples.labels)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        optimiser.step()
    path = tmp_path_factory.mktemp("model") / "clouds.safetensors"
    save_file(network.state_dict(), path, {"weightcast-task": json.dumps({"name": "clouds"})})
    return path


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_adds_a_thing_of_its_kind(name: str) -> None:
    kind = next(kind for kind in KINDS if kind.noun == name)
    assert EXAMPLES[name] in kind


def test_the_channel_has_the_noise_that_its_state_tells() -> None:
    n, channel = 1_000_000, build(CHANNELS, {"name": "bursts", "std": 0.1, "share": 0.2})
    noise = Noise(seed=4, draw=1)
    arrived = channel.transmit(np.zeros(n, np.float32), 7, noise).astype(float)
    state = channel.state(7, n, noise)
    assert abs(np.mean((arrived / state.std) ** 2) - 1) < 5 * np.sqrt(2 / n)
    share = np.mean(state.std == 1.0)
    assert abs(share - 0.2) < 5 * np.sqrt(0.2 * 0.8 / n)


def test_the_decoder_lowers_the_error_by_what_its_formula_says() -> None:
    n, std = 1_000_000, 0.5
    weights = np.random.Generator(np.random.Philox(1)).uniform(-1, 1, n).astype(np.float32)
    weights[:2] = -1, 1
    layer, channel = {"w": weights.reshape(1, -1)}, {"name": "awgn", "std": std}
    _, report = weightcast.send(layer, scheme="tensor-range", decoder="shrink", channel=channel)
    # The least squared error of a linear estimate: v s / (v + s), v = 1/3, s = std^2.
    expected = std**2 / 3 / (1 / 3 + std**2)
    assert report["weight_mse"] == pytest.approx(expected, rel=5 * np.sqrt(2 / n))


def test_the_arrays_of_the_plan_are_charged() -> None:
    layers = {f"{i}.weight": np.full((2, 3), i, np.float32) for i in range(5)}
    _, report = weightcast.send(layers, scheme="tensor-range", channel="noiseless")
    assert report["bits"]["plan"] == 5 * 2 * 32
    assert report["side_bits"] == 5 * 2 * 32


def installed(folder: Path) -> dict[str, str]:
    """Install the examples as pip would, into a folder; return the environment to find them in."""
    groups = []
    for kind, name in EXAMPLES.items():
        shutil.copy(FOLDER / f"{kind}.py", folder / f"my_{kind}.py")
        cls = next(k for k in KINDS if k.noun == kind)[name].__name__
        groups.append(f"[weightcast.{kind}s]\n{name} = my_{kind}:{cls}\n")
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(groups))
    return os.environ | {"PYTHONPATH": str(folder)}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["files", "installed"])
def test_a_plug_in_goes_over_real_http_bit_for_bit(model: Path, tmp_path: Path, how: str) -> None:
    files, environment = (FILES, None) if how == "files" else ([], installed(tmp_path))
    command = [sys.executable, "-m", "weightcast_client.cli", "send", "--json", *files, *WORDS]
    done = subprocess.run(
        [*command, f"--model={model}"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    _, report = weightcast.send(model, task="auto", **SETUP)
    assert sent["weights_digest"] == report["weights_digest"]
    assert sent["accuracy"] == report["accuracy"] and sent["n_images"] == 1000
    assert sent["clean_accuracy"] == report["clean_accuracy"] > 90
    assert sent["setup"]["task"] == {"name": "clouds", "hidden": 64, "spread": 0.9}


@pytest.mark.slow
def test_a_task_of_ones_own_reports_its_accuracy_in_a_sweep(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        f'model = "{model}"\n[schemes.tensor-range]\n[channels.bursts]\nstd = [0.01, 2]\n'
    )
    command = [sys.executable, "-m", "weightcast_client.cli"]
    subprocess.run([*command, "sweep", path, *FILES], check=True, timeout=120)
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    low, high = (row["accuracy"] for row in rows)
    assert low > 90 > high and rows[0]["n_images"] == 1000
    shown = subprocess.run(
        [*command, "summary", path.with_suffix(".jsonl"), *FILES],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    assert "`tensor-range` | `bursts` std=0.01 " in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "defines no scheme, decoder, channel or task with a name"),
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
        ("import nothing_of_the_kind", "failed: ModuleNotFoundError"),
        ("class A:\n    name = 'a'\n    transmit = 1\n", "the channel 'a' lacks state, capacity"),
        (
            "from weightcast.channels.awgn import AWGN\nclass B(AWGN):\n    pass\n",
            "there is a channel 'awgn' already",
        ),
    ],
)
def test_what_is_no_plug_in_is_told_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        plugins.load(path, KINDS)


def test_a_plug_in_is_a_python_file_that_is_there(tmp_path: Path) -> None:
    for name in ("none.py", "model.safetensors"):
        with pytest.raises(ParameterError, match="a plug-in is a Python file"):
            plugins.load(tmp_path / name, KINDS)


def test_setups_with_plug_ins_survive_as_json() -> None:
    setup = Setup.from_spec(SETUP | {"task": "clouds"})
    assert Setup.from_spec(json.loads(json.dumps(setup.spec()))) == setup
    assert build(SCHEMES, "tensor-range") == setup.scheme
