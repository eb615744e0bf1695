import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from weightcast.channels.awgn import AWGN
from weightcast.channels.cascade import Cascade
from weightcast.channels.noiseless import Noiseless
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.paper.sign_protection import SignProtection
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.decoding.clipped import Clipped
from weightcast.decoding.inversion import Inversion
from weightcast.errors import FormatError, ParameterError, UnknownNameError
from weightcast.experiment.runs import Run, run_of
from weightcast.experiment.sweeps import Facts, Sweep, read_sweep
from weightcast.setup import Setup
from weightcast.tasks.cifar10 import Cifar10

FILE = """
model = ["a", "b"]
draws = 2
seed = 7
n_images = 50
noisy = ["*", "!fc.*"]

[schemes.unprotected]
[schemes.adaptive-redundancy]
n_large = [1, 2]
r_large = 3

[channels.awgn]
std = [0.1, 1]
[channels.noiseless]
"""


def facts_of(model: str) -> Facts:
    return Facts(f"digest of {model}", Cifar10())


def runs_of(text: str, folder: Path) -> list[Run]:
    path = folder / "sweep.toml"
    path.write_text(text)
    return read_sweep(path).runs(facts_of)


def test_a_grid_holds_every_combination_once(tmp_path: Path) -> None:
    runs = runs_of(FILE, tmp_path)
    # 2 models, 2 patterns, 1 + 2 schemes, 2 + 1 channels, 2 draws
    assert len(runs) == 2 * 2 * 3 * 3 * 2 == len({run.key for run in runs})
    assert {run.setup.seed for run in runs} == {7}
    assert {run.setup.draw for run in runs} == {0, 1}
    assert runs[-1] == Run(
        model="b",
        model_digest="digest of b",
        setup=Setup(
            scheme=AdaptiveRedundancy(n_large=2, r_large=3),
            channel=Noiseless(),
            seed=7,
            draw=1,
            task=Cifar10(),
            n_samples=50,
        ),
        noisy="!fc.*",
    )


@pytest.mark.parametrize(
    ("noisy", "names"),
    [
        ("*", ["fc.weight", "layer4.1.conv1.weight", "layer4.0.conv1.weight"]),
        ("fc.weight", ["fc.weight"]),
        ("layer4.?.conv1.*", ["layer4.1.conv1.weight", "layer4.0.conv1.weight"]),
        ("!layer4.1.*", ["fc.weight", "layer4.0.conv1.weight"]),
        ("!*", []),
    ],
)
def test_noise_is_let_through_on_the_tensors_of_the_pattern(
    tmp_path: Path, noisy: str, names: list[str]
) -> None:
    run = dataclasses.replace(runs_of(FILE, tmp_path)[0], noisy=noisy)
    known = ["fc.weight", "layer4.1.conv1.weight", "layer4.0.conv1.weight"]
    assert [name for name in known if run.is_noisy(name)] == names


@pytest.mark.parametrize(
    ("old", "setup"),
    [
        (
            {"scheme": "unprotected", "params": {}},
            Setup(scheme=Unprotected(), channel=AWGN(std=0.1)),
        ),
        (
            {"scheme": "adaptive-redundancy", "params": {"r_large": 3, "limit": None}},
            Setup(scheme=AdaptiveRedundancy(r_large=3), channel=AWGN(std=0.1)),
        ),
        (
            {"scheme": "sign-protection", "params": {"limit": 1.5}, "noisy": "!fc.*"},
            Setup(scheme=SignProtection(), decoder=Clipped(limit=1.5), channel=AWGN(std=0.1)),
        ),
    ],
)
def test_rows_from_before_setups_are_read(old: dict[str, Any], setup: Setup) -> None:
    row = {"model": "a", "model_digest": "d", "channel": "awgn", "channel_params": {"std": 0.1}}
    row |= {"seed": 7, "stream": 1, "split": "validation", "n_images": 50} | old
    expected = dataclasses.replace(
        setup, seed=7, draw=1, task=Cifar10(), split="validation", n_samples=50
    )
    run = Run(model="a", model_digest="d", setup=expected, noisy=old.get("noisy", "*"))
    assert run_of(row) == run == run_of(json.loads(json.dumps(run.row())))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("[schemes", "[["), FormatError, "is not TOML"),
        (("draws = 2", "draws = 0"), FormatError, "line 3: 'draws' must be .* 1, got 0"),
        (("draws = 2", 'draws = "2"'), FormatError, "line 3: 'draws' must be a valid integer"),
        (("draws", "daws"), FormatError, "line 3: no key 'daws' in a sweep; known: model, draws, "),
        (("draws = 2", "evaluate = false"), FormatError, "line 3: no key 'evaluate' in a sweep"),
        (('model = ["a", "b"]', ""), FormatError, "sweep.toml': a sweep needs 'model'"),
        (('["a", "b"]', "5"), FormatError, "line 2: 'model' must be a valid list, got 5"),
        (('["a", "b"]', "[]"), FormatError, "line 2: 'model' list should have at least 1 item"),
        (('"!fc.*"', "1"), FormatError, "line 6: 'noisy' must be a valid string, got 1"),
        (("draws = 2", '"\\u001b[2J" = 1'), FormatError, r"no key '\\x1b\[2J' in a sweep"),
        (("draws = 2", "draws = " + "1" * 5000), FormatError, "is not TOML"),
        (("draws = 2", "draws = " + "[" * 50_000), FormatError, "is not TOML"),
        (("draws = 2", "draws = 100000000"), ParameterError, "at most 1,000,000 runs, got 3,600,"),
        (("r_large", "r_lrge"), ParameterError, "line 11: .* has no param 'r_lrge'; known: large"),
        (("[1, 2]", "[]"), ParameterError, "line 9: the params of scheme .* got 0"),
        (("[1, 2]", "[-1]"), ParameterError, "line 9: n_large must be at least 0, got -1"),
        (("[0.1, 1]", '["x"]'), ParameterError, "line 14: .*'std', must be a number, got 'x'"),
        (("[0.1, 1]", "[-1]"), ParameterError, "line 13: std must be in 0"),
        (("unprotected", "protected"), UnknownNameError, "line 8: no scheme 'protected'; known"),
        (
            ("n_images = 50", "n_images = 10001"),
            ParameterError,
            "n_samples must be 1 .. 10000 for test, got 10001",
        ),
        (
            ("n_images = 50", 'split = "all"'),
            FormatError,
            "line 5: 'split' must be .*'validation' or 'test'",
        ),
        (("n_images = 50", 'task = "chess"'), UnknownNameError, "no task 'chess'; known: cifar10"),
    ],
)
def test_a_broken_sweep_is_refused_before_anything_is_run(
    tmp_path: Path, change: tuple[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        runs_of(FILE.replace(*change), tmp_path)


def test_a_sweep_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot read the sweep '.*none.toml'"):
        read_sweep(tmp_path / "none.toml")


def test_all_images_of_a_split_are_taken_without_a_number() -> None:
    fields: dict[str, Any] = {"model": "a", "schemes": {"unprotected": {}}}
    fields["channels"] = {"noiseless": {}}
    assert Sweep(**fields).runs(facts_of)[0].setup.n_samples == 10_000
    assert Sweep(split="validation", **fields).runs(facts_of)[0].setup.n_samples == 5_000


def test_decoders_and_lists_of_lists_are_axes_too(tmp_path: Path) -> None:
    text = FILE.replace(
        "[channels.noiseless]",
        """[channels.cascade]
stages = [[{ name = "awgn", std = 0.1 }], [{ name = "awgn", std = 0.2 }, "noiseless"]]
[decoders.inversion]
[decoders.clipped]
limit = [1, 2]""",
    )
    setups = [run.setup for run in runs_of(text, tmp_path)]
    assert {setup.decoder for setup in setups} == {Inversion(), Clipped(), Clipped(limit=2.0)}
    cascades = {s.channel for s in setups if isinstance(s.channel, Cascade)}
    assert cascades == {
        Cascade(stages=(AWGN(std=0.1),)),
        Cascade(stages=(AWGN(std=0.2), Noiseless())),
    }


def test_a_model_without_a_task_is_swept_without_accuracy() -> None:
    sweep = Sweep(model="a", schemes={"unprotected": {}}, channels={"noiseless": {}})
    (run,) = sweep.runs(lambda model: Facts("d", None))
    assert run.setup.task is None and run.setup.n_samples is None


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    assert len(runs_of("\ufeff" + FILE, tmp_path)) == len(runs_of(FILE, tmp_path))
