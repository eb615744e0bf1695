import dataclasses

import pytest

from weightcast.errors import ParameterError
from weightcast.training.recipes import RECIPES, SETTINGS, changed


def test_the_settings_have_the_numbers_of_the_paper() -> None:
    numbers = {name: (s.l1, s.l2, s.dropout) for name, s in SETTINGS.items()}
    assert numbers == {
        "none": (0, 0, 0),
        "l1": (5e-6, 0, 0),
        "l2": (0, 5e-4, 0),
        "dropout": (0, 0, pytest.approx(1 - 0.8)),
    }


def test_the_paper_recipe_has_the_numbers_of_the_paper() -> None:
    paper = RECIPES["paper"]
    assert (paper.epochs, paper.batch, paper.peak_rate, paper.momentum) == (350, 128, 0.1, 0.9)
    assert (paper.flips, paper.crop_padding, paper.nesterov) == ("random", 0, False)
    assert paper.validation == 5_000


def test_without_warm_up_the_rate_is_a_cosine_from_the_peak_to_zero() -> None:
    recipe = dataclasses.replace(RECIPES["paper"], peak_rate=0.2)
    rates = [recipe.rate(step, 1000) for step in (0, 249, 499, 999)]
    assert rates == pytest.approx([0.2, 0.1 * (1 + 2**-0.5), 0.1, 0], abs=1e-6)


def test_one_cycle_rises_in_a_line_and_peaks_at_the_end_of_the_warm_up() -> None:
    recipe = dataclasses.replace(RECIPES["fast"], peak_rate=0.2, warm_up=0.25)
    rates = [recipe.rate(step, 100) for step in range(100)]
    assert rates[:5] == pytest.approx([0.008, 0.016, 0.024, 0.032, 0.04])
    assert rates.index(max(rates)) == 24
    assert max(rates) == pytest.approx(0.2)
    assert rates[-1] == 0


def test_each_size_of_the_images_has_its_share_of_the_epochs_and_the_last_ends_it() -> None:
    recipe = dataclasses.replace(RECIPES["fast"], epochs=5, pixels=(24, 32))
    assert [recipe.side(epoch) for epoch in range(1, 6)] == [24, 24, 32, 32, 32]
    recipe = dataclasses.replace(recipe, epochs=6, pixels=(16, 24, 32))
    assert [recipe.side(epoch) for epoch in range(1, 7)] == [16, 16, 24, 24, 32, 32]
    assert dataclasses.replace(recipe, epochs=1).side(1) == 32


def test_a_recipe_says_in_words_what_it_does() -> None:
    assert RECIPES["fast"].describe() == (
        "25 epochs, batch 128, SGD with Nesterov momentum 0.9, rate in a line from 0 over 10% of "
        "the steps, then in a cosine from 0.1 to 0; alternating horizontal flips and crops padded "
        "by 4 pixels, scaled to 24, then 32 pixels; last epoch"
    )
    texts = {"cutout": "8", "smoothing": "0.1", "first_scale": "0.5", "pixels": "32"}
    assert (
        changed(RECIPES["fast"], texts)
        .describe()
        .endswith(
            "by 4 pixels, a square of 8 pixels blotted out; labels smoothed by 0.1; "
            "first weights of convolutions times 0.5; last epoch"
        )
    )
    words = RECIPES["paper"].describe()
    assert words.endswith("; random horizontal flips; best epoch by validation")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("batch", 0, "batch must be at least 1, got 0"),
        ("peak_rate", 0.0, "peak_rate must be above 0 and finite, got 0.0"),
        ("peak_rate", float("nan"), "peak_rate must be above 0 and finite, got nan"),
        ("warm_up", 1.0, "warm_up must be in 0 .. 1, 1 excluded, got 1.0"),
        ("flips", "vertical", "flips must be one of random, alternating, got 'vertical'"),
        ("crop_padding", 32, "crop_padding must be in 0 .. 31, got 32"),
        ("cutout", 33, "cutout must be in 0 .. 32, got 33"),
        ("smoothing", 1.0, "smoothing must be in 0 .. 1, 1 excluded, got 1.0"),
        ("first_scale", 0.0, "first_scale must be above 0 and finite, got 0.0"),
        ("pixels", (), r"pixels must be in 8 .. 32, got \(\)"),
        ("pixels", (24, 33), r"pixels must be in 8 .. 32, got \(24, 33\)"),
        ("validation", -1, "validation must be at least 0, got -1"),
    ],
)
def test_a_recipe_refuses_what_it_cannot_do(name: str, value: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(RECIPES["fast"], **{name: value})
