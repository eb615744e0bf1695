import time
from typing import Any, cast

import pytest

from weightcast.coding import SCHEMES
from weightcast.experiment.figures import SendResult
from weightcast.models import zoo
from weightcast_client.commands.models import models
from weightcast_client.commands.registries import show_kind
from weightcast_client.screen import console
from weightcast_client.screen.console import show_result

RESULT: dict[str, Any] = {
    "model": "m",
    "scheme": "unprotected",
    "channel": "awgn",
    "decoder": "inversion",
    "std": 0.1,
    "peak_snr_db": 20.0,
    "accuracy": None,
    "n_weights": 640,
    "n_symbols": 640,
    "uses_per_weight": 1.0,
    "capacity": 2.5,
    "average_power": 0.5,
    "peak": 1.0,
    "weight_mse": 1e-4,
    "sdr_db": 14.0,
    "seconds": {"total": 1.0},
}


@pytest.mark.parametrize(("header", "share"), [(3.0, "75 %"), (0.5, None)])
def test_a_result_that_is_mostly_header_says_so(
    header: float, share: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = {
        "bits": {"header": 4800},
        "extra_uses": {"header": header},
        "all_in_uses_per_weight": 1 + header,
    }
    show_result(cast(SendResult, RESULT | costs))
    lines = [line for line in capsys.readouterr().out.splitlines() if "mostly header" in line]
    assert len(lines) == (share is not None)
    assert share is None or share in lines[0]


def test_lists_are_80_columns_wide_and_break_no_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    models()
    show_kind(SCHEMES, None)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) == 80
    cards = " ".join(str(zoo.card(name)["setting"]) for name in zoo.models())
    docs = " ".join(str(cls.__doc__).partition("\n")[0] for cls in SCHEMES.values())
    assert set(f"{cards} {docs}".split()) <= set(out.split())
    assert "large_fraction=0.0006268" in out.split()


COSTS = {"bits": {"header": 1}, "extra_uses": {"header": 0.1}, "all_in_uses_per_weight": 1.1}
SEVERAL = {
    "draws": 3,
    "over_draws": {"weight_mse": "mean", "sdr_db": "mean", "seconds": "sum"},
    "weight_mses": [1e-4, 1e-4, 1e-4],
    "sdrs_db": [13.0, 14.0, 15.0],
}


def shown(more: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    show_result(cast(SendResult, RESULT | COSTS | more))
    return capsys.readouterr().out


def test_of_several_draws_every_line_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(SEVERAL, capsys)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    assert ["draws of the noise", "3"] in rows
    assert ["weight MSE (mean)", "0.0001 ± 0"] in rows
    # t of 2 degrees is 4.303, the standard error of 13, 14 and 15 is 0.577.
    assert ["SDR (mean)", "14.00 ± 2.48 dB"] in rows
    assert ["total, s (sum)", "1.00"] in rows
    exact = shown(SEVERAL | {"sdr_db": None, "sdrs_db": [13.0, None, 15.0]}, capsys)
    assert "exact in 1 of them" in exact
    one = shown({}, capsys)
    assert "mean" not in one and "sum" not in one and "draws" not in one


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = shown({"model": "a\x1b[2J\nb"}, capsys)
    assert "\x1b" not in text and "a\\x1b[2J\\nb" in text


def test_without_a_terminal_a_download_says_that_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "REMIND_EVERY_S", 0.05)
    with console.Screen() as screen:
        screen.report("evaluate", 1, 2)
        time.sleep(0.2)
        screen.report("download", 5_000, 10_000)
        time.sleep(0.2)
        screen.report("npm pack", 0, 0)
        time.sleep(0.2)
    out, err = capsys.readouterr()
    lines = set(err.splitlines())
    assert lines == {"download goes on, 5,000 of 10,000 bytes so far", "npm pack goes on"}
    assert not out
