import dataclasses

import numpy as np
import pytest
import torch

from weightcast.datasets.samples import generator, split
from weightcast.tasks.cifar10.task import normalised
from weightcast.training.augmentation import Batches, blot_out, crops, scaled
from weightcast.training.recipes import RECIPES

RNG = np.random.Generator(np.random.Philox(5))
IMAGES = RNG.integers(0, 256, (50, 32, 32, 3), np.uint8)
NUMBERS = np.arange(50, dtype=np.uint8)
"""Labels that tell the images apart."""

PLAIN = dataclasses.replace(RECIPES["paper"], batch=16)
FAST = dataclasses.replace(RECIPES["fast"], batch=16, pixels=(32,))


def epoch(recipe: object, number: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and labels of an epoch in the order of the labels."""
    x, labels = zip(*Batches(recipe, seed, IMAGES, NUMBERS).epoch(number), strict=True)
    order = torch.cat(labels).argsort()
    return torch.cat(x)[order], torch.cat(labels)[order]


def is_flipped(recipe: object, number: int) -> torch.Tensor:
    x, _ = epoch(recipe, number)
    straight = normalised(IMAGES)
    flipped = (x == straight.flip(3)).flatten(1).all(1)
    assert torch.equal(~flipped, (x == straight).flatten(1).all(1))
    return flipped


def test_an_epoch_has_every_image_once_in_batches() -> None:
    batches = Batches(FAST, 0, IMAGES, NUMBERS)
    sizes = [len(labels) for _, labels in batches.epoch(1)]
    assert sizes == [16, 16, 16, 2]
    assert len(batches) == 4
    assert epoch(FAST, 1)[1].tolist() == list(range(50))


def test_an_epoch_depends_on_its_number_and_the_seed_alone() -> None:
    batches = Batches(FAST, 7, IMAGES, NUMBERS)
    first = [labels.tolist() for _, labels in batches.epoch(3)]
    list(batches.epoch(1))
    assert [labels.tolist() for _, labels in batches.epoch(3)] == first
    assert torch.equal(epoch(FAST, 3, 7)[0], epoch(FAST, 3, 7)[0])
    for number, seed in ((4, 7), (3, 8)):
        other = Batches(FAST, seed, IMAGES, NUMBERS)
        assert [labels.tolist() for _, labels in other.epoch(number)] != first


def test_random_flips_mirror_half_of_the_images_and_others_each_epoch() -> None:
    first, second = is_flipped(PLAIN, 1), is_flipped(PLAIN, 2)
    # Binomial of 50 images: five standard errors are 17.7.
    assert abs(int(first.sum()) - 25) <= 17
    assert not torch.equal(first, second)
    assert not torch.equal(first, ~second)


def test_alternating_flips_show_the_other_side_in_the_next_epoch() -> None:
    recipe = dataclasses.replace(FAST, crop_padding=0)
    first = is_flipped(recipe, 1)
    assert torch.equal(is_flipped(recipe, 2), ~first)
    assert torch.equal(is_flipped(recipe, 3), first)
    assert abs(int(first.sum()) - 25) <= 17


def test_crops_are_windows_of_the_padded_image_mirrored_where_asked() -> None:
    padded = RNG.integers(0, 256, (4, 40, 40, 3), np.uint8)
    offsets, is_flipped = torch.tensor([[0, 8], [5, 2]]), torch.tensor([False, True])
    cut = crops(torch.from_numpy(padded), torch.tensor([3, 1]), offsets, is_flipped).numpy()
    assert np.array_equal(cut[0], padded[3, 0:32, 8:40])
    assert np.array_equal(cut[1], padded[1, 5:37, 2:34][:, ::-1])


def test_images_of_the_first_epochs_are_smaller_versions_of_the_same_images() -> None:
    recipe = dataclasses.replace(FAST, epochs=2, pixels=(16, 32), flips="random", crop_padding=0)
    x, labels = epoch(recipe, 1)
    whole, _ = epoch(dataclasses.replace(recipe, pixels=(32,)), 1)
    assert torch.equal(x, scaled(whole, 16))
    assert x.shape == (50, 3, 16, 16)
    assert epoch(recipe, 2)[0].shape == (50, 3, 32, 32)
    assert labels.tolist() == list(range(50))


def test_scaling_keeps_brightness_and_place() -> None:
    x = torch.zeros(1, 3, 32, 32)
    x[:, :, 8:24, 4:12] = 1.0
    small = scaled(x, 16)
    assert small.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(small[:, :, 5:11, 3:5], torch.ones(1, 3, 6, 2))
    assert float(small.mean()) == pytest.approx(float(x.mean()), abs=1e-6)
    assert float(small[:, :, :3].abs().max()) == 0.0
    assert scaled(x, 32) is x
    # A triangle two pixels wide to either side: a point 0.5 and 1.5 pixels from two centres.
    point = torch.zeros(1, 1, 32, 32)
    point[:, :, 16, 16] = 1.0
    weights = torch.tensor([0.125, 0.375])
    assert torch.equal(scaled(point, 16)[0, 0, 7:9, 7:9], torch.outer(weights, weights))


def test_cutout_blots_out_a_square_in_each_image_at_another_place_each_epoch() -> None:
    recipe = dataclasses.replace(FAST, epochs=9, cutout=5, crop_padding=0)
    cut, _ = epoch(recipe, 1)
    whole, _ = epoch(dataclasses.replace(recipe, cutout=0), 1)
    is_out = (cut == 0).all(1) & (whole != 0).any(1)
    assert torch.equal(torch.where(is_out[:, None], 0.0, whole), cut)
    corners = []
    for image in is_out:
        rows, columns = image.any(1).nonzero().flatten(), image.any(0).nonzero().flatten()
        assert int(image.sum()) == 25
        assert (len(rows), len(columns)) == (5, 5)
        corners.append((int(rows[0]), int(columns[0])))
    assert len(set(corners)) > 25
    other, _ = epoch(recipe, 3)
    assert not torch.equal(other == 0, cut == 0)


def test_a_square_reaches_the_borders_and_can_cover_everything() -> None:
    x = torch.ones(2, 3, 32, 32)
    blot_out(x, torch.tensor([[0, 29], [31, 0]]), 3)
    assert float(x[0, :, :3, 29:].sum()) == 0.0
    assert float(x[0].sum()) == 3 * (1024 - 9)
    assert float(x[1].sum()) == 3 * (1024 - 3)
    recipe = dataclasses.replace(FAST, cutout=32)
    assert float(epoch(recipe, 1)[0].abs().max()) == 0.0


def test_crops_reach_every_offset_of_the_padding() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 16, 16] = 255
    batches = Batches(
        dataclasses.replace(RECIPES["paper"], crop_padding=2, flips="alternating"),
        0,
        np.repeat(image, 1000, 0),
        np.zeros(1000, np.uint8),
    )
    x = torch.cat([x for x, _ in batches.epoch(1)])
    places = x[:, 0].flatten(1).argmax(1)
    rows, columns = places // 32, places % 32
    assert sorted(set(rows.tolist())) == [14, 15, 16, 17, 18]
    # A mirrored image has the bright pixel at 31 - 16 instead of 16.
    assert sorted(set(columns.tolist())) == [13, 14, 15, 16, 17, 18]


def test_the_validation_images_are_fixed_held_back_and_nested() -> None:
    training, validation = split(1000, 100)
    assert np.array_equal(np.sort(np.r_[training, validation]), np.arange(1000))
    assert len(validation) == 100
    assert np.array_equal(split(1000, 100)[1], validation)
    assert set(split(1000, 50)[1]) < set(validation)
    assert len(split(1000, 0)[1]) == 0


def test_generators_differ_by_seed_epoch_and_purpose() -> None:
    draws = {
        int(torch.randint(0, 2**62, (1,), generator=generator(seed, number, purpose)))
        for seed in (0, 1)
        for number in (1, 11)
        for purpose in ("order", "dropout")
    }
    assert len(draws) == 8
