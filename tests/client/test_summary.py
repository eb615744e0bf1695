from pathlib import Path

import pytest

from weightcast.sweeps import Results
from weightcast_client.summary import cliff_table, table

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def row(stream: int, accuracy: float, n_large: int) -> dict[str, object]:
    return {
        "model": "m",
        "scheme": "adaptive-mapping",
        "params": {"n_large": n_large},
        "channel": "awgn",
        "channel_params": {"std": 0.5},
        "split": "test",
        "n_images": 2000,
        "stream": stream,
        "accuracy": accuracy,
        "clean_accuracy": 90.0,
        "uses_per_weight": 1.0,
        "all_in_uses_per_weight": 1.5,
    }


def test_draws_are_taken_together_and_points_keep_their_order() -> None:
    lines = table([row(0, 80.0, 7), row(1, 84.0, 7), row(0, 50.0, 3)]).splitlines()
    # t of 1 degree is 12.706, the standard error of 80 and 84 is 2.
    name = "| m | `adaptive-mapping` n_large={} | `awgn` std=0.5 | `*` | 2,000 test |"
    assert lines[2] == name.format(7) + " 2 | 82.00 ± 25.41 | 90.00 | 1.0000 | 1.5000 |"
    assert lines[3] == name.format(3) + " 1 | 50.00 | 90.00 | 1.0000 | 1.5000 |"


def test_noise_on_other_tensors_is_another_point() -> None:
    lines = table([row(0, 80.0, 7), row(0, 50.0, 7) | {"noisy": "!fc.*"}]).splitlines()
    assert "| `*` | 2,000 test | 1 | 80.00 |" in lines[2]
    assert "| `!fc.*` | 2,000 test | 1 | 50.00 |" in lines[3]


@pytest.mark.parametrize("results", sorted(EXPERIMENTS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_committed_tables_are_those_of_the_committed_results(results: Path) -> None:
    rows = Results(results).rows()
    plain = table(rows)
    assert results.with_suffix(".md").read_text() in (plain, f"{plain}\n{cliff_table(rows)}")


def test_a_cliff_is_half_of_the_way_from_clean_to_chance_on_each_curve() -> None:
    def at(std: float, accuracy: float, n_large: int) -> dict[str, object]:
        return row(0, accuracy, n_large) | {"channel_params": {"std": std}}

    rows = [at(0.1, 90.0, 7), at(0.1, 80.0, 3), at(0.4, 10.0, 7), at(0.4, 70.0, 3)]
    lines = cliff_table(rows).splitlines()
    # Half is 50 %, in the middle between 0.1 and 0.4 on a log axis.
    assert lines[2] == "| m | `adaptive-mapping` n_large=7 | `awgn` | `*` | 0.2 |"
    assert lines[3] == "| m | `adaptive-mapping` n_large=3 | `awgn` | `*` | not in 0.1 .. 0.4 |"
