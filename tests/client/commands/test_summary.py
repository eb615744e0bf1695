import dataclasses
import json
from pathlib import Path

import pytest
from driver.commands import Call

from weightcast.channels.awgn import AWGN
from weightcast.coding.paper.adaptive_mapping import AdaptiveMapping
from weightcast.decoding import Decoder
from weightcast.decoding.clipped import Clipped
from weightcast.decoding.inversion import Inversion
from weightcast.experiment.results import Results, Row
from weightcast.experiment.runs import Run
from weightcast.setup import Setup
from weightcast.tasks.cifar10 import Cifar10
from weightcast_client.screen.tables import cliff_table, table

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


FIGURES = {"clean_accuracy": 90.0, "uses_per_weight": 1.0, "all_in_uses_per_weight": 1.5}


def row(draw: int, accuracy: float, n_large: int, *, std: float = 0.5, noisy: str = "*") -> Row:
    setup = Setup(
        scheme=AdaptiveMapping(n_large=n_large),
        channel=AWGN(std=std),
        draw=draw,
        task=Cifar10(),
        n_samples=2000,
    )
    run = Run(model="m", model_digest="0", setup=setup, noisy=noisy)
    return Row(run, FIGURES | {"accuracy": accuracy})


def test_draws_are_taken_together_and_points_keep_their_order() -> None:
    lines = table([row(0, 80.0, 7), row(1, 84.0, 7), row(0, 50.0, 3)]).splitlines()
    # t of 1 degree is 12.706, the standard error of 80 and 84 is 2.
    name = "| m | `adaptive-mapping` n_large={} | `awgn` std=0.5 | `*` | 2,000 test |"
    assert lines[2] == name.format(7) + " 2 | 82.00 ± 25.41 | 90.00 | 1.0000 | 1.5000 |"
    assert lines[3] == name.format(3) + " 1 | 50.00 | 90.00 | 1.0000 | 1.5000 |"


def test_noise_on_other_tensors_is_another_point() -> None:
    lines = table([row(0, 80.0, 7), row(0, 50.0, 7, noisy="!fc.*")]).splitlines()
    assert "| `*` | 2,000 test | 1 | 80.00 |" in lines[2]
    assert "| `!fc.*` | 2,000 test | 1 | 50.00 |" in lines[3]


def test_another_decoder_is_another_point_and_is_named() -> None:
    def by(decoder: Decoder) -> Row:
        plain = row(0, 80.0, 7)
        setup = dataclasses.replace(plain.run.setup, decoder=decoder)
        return Row(dataclasses.replace(plain.run, setup=setup), plain.figures)

    lines = table([by(Inversion()), by(Clipped()), by(Clipped(limit=2))]).splitlines()
    cells = [line.split(" | ")[1] for line in lines[2:]]
    scheme = "`adaptive-mapping` n_large=7"
    assert cells == [
        scheme,
        f"{scheme} and `clipped` limit=1",
        f"{scheme} and `clipped` limit=2",
    ]


def test_without_accuracies_the_error_of_the_weights_is_shown() -> None:
    def without_task(draw: int, mse: float, sdr_db: float | None) -> Row:
        plain = row(draw, 0.0, 7)
        setup = dataclasses.replace(plain.run.setup, task=None, n_samples=None)
        errors = {"weight_mse": mse, "sdr_db": sdr_db}
        return Row(dataclasses.replace(plain.run, setup=setup), FIGURES | errors)

    lines = table([without_task(0, 0.1, 10.0), without_task(1, 0.3, 20.0)]).splitlines()
    assert lines[2].endswith("| `*` |  | 2 | 0.2 | 15.00 | 1.0000 | 1.5000 |")
    assert "exact" in table([without_task(0, 0.0, None)]).splitlines()[2]


@pytest.mark.parametrize("results", sorted(EXPERIMENTS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_committed_tables_are_those_of_the_committed_results(results: Path) -> None:
    rows = Results(results).rows()
    plain = table(rows)
    assert results.with_suffix(".md").read_text() in (plain, f"{plain}\n{cliff_table(rows, 10)}")


def test_a_cliff_is_half_of_the_way_from_clean_to_chance_on_each_curve() -> None:
    def at(std: float, accuracy: float, n_large: int) -> Row:
        return row(0, accuracy, n_large, std=std)

    rows = [at(0.1, 90.0, 7), at(0.1, 80.0, 3), at(0.4, 10.0, 7), at(0.4, 70.0, 3)]
    lines = cliff_table(rows, 10).splitlines()
    # Half is 50 %, in the middle between 0.1 and 0.4 on a log axis.
    assert lines[2] == "| m | `adaptive-mapping` n_large=7 | `awgn` | `*` | 0.2 |"
    assert lines[3] == "| m | `adaptive-mapping` n_large=3 | `awgn` | `*` | not in 0.1 .. 0.4 |"


def test_what_sends_printed_is_summed_up_and_a_torn_line_is_told(
    call: Call, tmp_path: Path
) -> None:
    setup = Setup(channel=AWGN(std=0.1), task=Cifar10())
    sent = {
        "transmission": "t",
        **FIGURES,
        "model": "m|\x1b[2J",
        "setup": setup.spec(),
        "n_images": 10_000,
        "weight_mse": 0.2,
        "accuracy": 82.0,
        "accuracies": [80.0, 84.0],
        "transmissions": ["t", "u"],
    }
    path = tmp_path / "sends.jsonl"
    path.write_text(json.dumps(sent) + "\n" + json.dumps(sent)[:40])
    ran = call("summary", str(path))
    assert (ran.code, ran.err) == (0, "warning: line 2 is cut off and left out\n")
    line = ran.out.splitlines()[2]
    assert line.startswith(r"| m\|\x1b[2J | `adaptive-redundancy` | `awgn` std=0.1 |")
    assert "| 10,000 test | 2 | 82.00 ± 25.41 | 90.00 |" in line


def test_cliffs_need_accuracies(call: Call, tmp_path: Path) -> None:
    run = Run(model="m", model_digest="0", setup=Setup(channel=AWGN(std=0.1)))
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(run.row() | FIGURES | {"weight_mse": 0.2, "sdr_db": None}))
    ran = call("summary", str(path), "--cliffs")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: not all rows have accuracies, which --cliffs needs\n"
    assert call("summary", str(path)).code == 0
