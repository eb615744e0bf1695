import hashlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common.tasks.archives import GREY, LABELS, folder, mnist_files, tar
from PIL import Image
from torchvision import datasets, models

from weightcast.datasets.samples import split
from weightcast.datasets.sources import silent
from weightcast.errors import DataError, ParameterError, UnknownNameError
from weightcast.tasks.torchvision import Torchvision
from weightcast.tasks.torchvision.catalogue import CATALOGUE
from weightcast.tasks.torchvision.cifar100 import Cifar100
from weightcast.tasks.torchvision.networks import STEMS, classifier

RNG = np.random.Generator(np.random.Philox(4))


def picture(path: Path, width: int = 8, height: int = 8, mode: str = "RGB") -> np.ndarray:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    pixels = RNG.integers(0, 256, shape, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path)
    return pixels


def folders(path: Path, *parts: str, classes: str = "ab", n: int = 20) -> Path:
    for part in parts:
        for name in classes:
            for i in range(n):
                picture(path / part / name / f"{i:02}.png")
    return path


def in_folder(path: Path, **more: Any) -> Torchvision:
    return Torchvision(model="resnet18", data="ImageFolder", folder=str(path), **more)


def test_a_folder_of_classes_is_a_test_set(tmp_path: Path) -> None:
    task = in_folder(folders(tmp_path, "", n=3))
    assert task.fetch(tmp_path / "cache", silent) == str(tmp_path)
    assert not (tmp_path / "cache").exists()
    samples = task.samples(tmp_path / "cache", "test")
    assert samples.labels.tolist() == [0, 0, 0, 1, 1, 1] and len(samples) == 6
    assert task.n_classes == 2 and task.size("test") is None
    with pytest.raises(DataError, match="has no folder `train`, only test pictures"):
        task.samples(tmp_path / "cache", "train")


def test_inputs_are_the_pixels_of_the_files_chosen_normalised(tmp_path: Path) -> None:
    pixels = [picture(tmp_path / "a" / f"{i}.png") for i in range(3)]
    x = in_folder(tmp_path).samples(tmp_path, "test").inputs(np.array([2, 0]))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (np.stack([pixels[2], pixels[0]]) / 255 - mean) / std
    assert x.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(x.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_without_validation_pictures_some_of_the_training_are_held_back(tmp_path: Path) -> None:
    task = in_folder(folders(tmp_path, "train", "val"))
    n = {part: len(task.samples(tmp_path, part)) for part in ("train", "validation", "test")}
    assert n == {"train": 36, "validation": 4, "test": 40}
    kept, held_back = split(40, 4)
    everything = task.samples(tmp_path, "train").data.labels
    assert np.array_equal(task.samples(tmp_path, "train").labels, everything[kept])
    assert np.array_equal(task.samples(tmp_path, "validation", 3).labels, everything[held_back[:3]])


def test_validation_pictures_of_their_own_are_used(tmp_path: Path) -> None:
    folders(tmp_path, "train", "test")
    task = in_folder(folders(tmp_path, "val", n=2))
    n = {part: len(task.samples(tmp_path, part)) for part in ("train", "validation", "test")}
    assert n == {"train": 40, "validation": 4, "test": 40}


def test_parts_with_other_classes_are_refused(tmp_path: Path) -> None:
    folders(tmp_path, "train", classes="abc", n=1)
    task = in_folder(folders(tmp_path, "test", classes="ac", n=1))
    with pytest.raises(DataError, match=r"has not the classes of .*: b$"):
        task.samples(tmp_path, "test")


def test_pictures_of_different_sizes_need_an_image_size(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "0.png", 12, 8)
    picture(tmp_path / "a" / "1.png", 8, 10, "L")
    picture(tmp_path / "b" / "2.png", 9, 9, "RGBA")
    everything = np.arange(3)
    with pytest.raises(DataError, match=r"different sizes, .* image_size makes them alike"):
        in_folder(tmp_path).samples(tmp_path, "test").inputs(everything)
    x = in_folder(tmp_path, image_size=6).samples(tmp_path, "test").inputs(everything)
    assert x.shape == (3, 3, 6, 6)


def test_a_broken_picture_or_folder_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="picture 1 cannot be read"):
        in_folder(tmp_path).samples(tmp_path, "test").inputs(np.arange(2))
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="cannot be read: Found no valid file for the classes b"):
        in_folder(tmp_path).samples(tmp_path, "test")
    for path in (tmp_path / "nothing", tmp_path / "a" / "0.png"):
        with pytest.raises(DataError, match="cannot be read"):
            in_folder(path).fetch(tmp_path, silent)
    with pytest.raises(DataError, match="has no folders, one per class"):
        in_folder(tmp_path / "b").network()


def test_more_classes_than_the_network_has_are_refused(tmp_path: Path) -> None:
    task = in_folder(folders(tmp_path, "", classes="abc", n=1), classes=2)
    with pytest.raises(DataError, match="ImageFolder has a class 2, the network 2 classes"):
        task.samples(tmp_path, "test")


@pytest.mark.parametrize("size", [None, 32])
def test_idx_files_are_read_by_torchvision_and_grey_becomes_three_channels(
    tmp_path: Path, size: int | None
) -> None:
    folder(tmp_path / "torchvision" / "FashionMNIST", mnist_files("FashionMNIST/raw/{}"))
    task = Torchvision(model="resnet18", data="FashionMNIST", image_size=size)
    assert task.fetch(tmp_path, silent) == "cache"
    samples = task.samples(tmp_path, "test")
    assert samples.labels.tolist() == LABELS[10:].tolist()
    x = samples.inputs(np.arange(2))
    assert x.shape == (2, 3, size or 28, size or 28)
    assert torch.equal(x[:, 0] * 1, x[:, 2])
    if size is None:
        assert np.allclose(x[:, 1].numpy(), (GREY[10:] / 255 - 0.2860) / 0.3530, atol=1e-5)
    assert len(task.samples(tmp_path, "train")) == 9
    assert len(task.samples(tmp_path, "validation")) == 1


def test_a_download_that_fails_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    task = Torchvision(model="resnet18", data="FashionMNIST")
    with pytest.raises(DataError, match=r"^cannot get FashionMNIST; torchvision: .*") as caught:
        task.fetch(tmp_path, silent)
    assert "\n" not in str(caught.value)
    with pytest.raises(
        DataError, match=r"FashionMNIST is not in the cache; `client data torchvision`"
    ):
        task.samples(tmp_path, "test")
    with pytest.raises(DataError, match="FashionMNIST is not read from an archive; its files go"):
        task.fetch(tmp_path, silent, tmp_path / "a.zip")


@pytest.mark.parametrize(
    "raw", [b"", b"\0\0\x08\x09", b"\0\0\xff\x03" + b"\xff" * 12, b"<html>" * 9]
)
def test_files_that_torchvision_cannot_read_are_a_line(tmp_path: Path, raw: bytes) -> None:
    files = mnist_files("FashionMNIST/raw/{}")
    place = folder(tmp_path / "torchvision" / "FashionMNIST", files)
    task = Torchvision(model="resnet18", data="FashionMNIST")
    for name in files:
        (place / name).write_bytes(raw)
        with pytest.raises(DataError, match=r"^FashionMNIST is not in the cache; .* \(.*\)$"):
            task.samples(tmp_path, "test" if "t10k" in name else "train")
        (place / name).write_bytes(files[name])


def test_cifar100_is_read_from_its_binary_archive_without_pickles(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)
    labels = np.arange(24, dtype=np.uint8).reshape(12, 2)
    records = np.column_stack([labels, pixels.transpose(0, 3, 1, 2).reshape(12, -1)])
    files = {"train.bin": records[:10].tobytes(), "test.bin": records[10:].tobytes()}
    archive = tar(tmp_path / "a.tgz", {f"cifar-100-binary/{n}": raw for n, raw in files.items()})
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=r"cannot get CIFAR-100; .*a.tgz: .* of the binary version"):
        Cifar100().fetch(cache, silent, archive)
    store = Cifar100(hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(DataError, match="CIFAR-100 is not in the cache"):
        store.load(cache, "test")
    assert store.fetch(cache, silent, archive) == str(archive)
    assert store.fetch(cache, silent, None) == "cache"
    found = store.load(cache, "test")
    assert found.labels.tolist() == [21, 23]
    assert np.array_equal(
        found.pictures(np.arange(2), None).permute(0, 2, 3, 1).numpy(), pixels[10:]
    )


@pytest.mark.mnist
def test_mnist_is_the_one_of_the_task_of_its_own() -> None:
    from weightcast.tasks.mnist import Mnist
    from weightcast_client.settings import Settings

    cache = Settings().cache
    task = Torchvision(model="mobilenet_v3_small", data="MNIST", small_stem=True)
    for part in ("train", "validation", "test"):
        own, other = task.samples(cache, part), Mnist().samples(cache, part)
        assert len(own) == len(other) == task.size(part)
        assert np.array_equal(own.labels, other.labels)
        picked = np.array([3, 1])
        assert torch.allclose(own.inputs(picked)[:, :1], other.inputs(picked), atol=1e-6)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_data_set_takes_the_arguments_of_the_catalogue(name: str) -> None:
    entry, known = CATALOGUE[name], inspect.signature(getattr(datasets, name)).parameters
    if name != "ImageFolder":
        assert {"root", "download", *entry.train, *entry.test} <= known.keys()
        assert {*(entry.validation or {})} <= known.keys()
    assert all(len(values) in (1, 3) for values in entry.scale)


SMALL = ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "mnasnet0_5"]
SMALL += ["regnet_y_400mf", "shufflenet_v2_x0_5", "densenet121"]


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL)
def test_a_small_stem_keeps_the_resolution(model: str) -> None:
    usual = classifier(model, 10, 32, small_stem=False)
    small = classifier(model, 10, 32, small_stem=True)
    convolution, pool = next(places for prefix, places in STEMS.items() if model.startswith(prefix))
    seen = {}

    def watch(name: str) -> Any:
        return lambda module, x, y: seen.__setitem__(name, tuple(y.shape[2:]))

    for name, network in (("usual", usual), ("small", small)):
        network.get_submodule(pool or convolution).register_forward_hook(watch(name))
        assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert seen == {"usual": (8, 8) if pool else (16, 16), "small": (32, 32)}


@pytest.mark.slow
@pytest.mark.parametrize("prefix", STEMS)
def test_every_network_of_a_family_has_the_stem(prefix: str) -> None:
    family = [name for name in models.list_models(module=models) if name.startswith(prefix)]
    assert family
    with torch.device("meta"):
        for model in family:
            if model.startswith("regnet") and not model.endswith("00mf"):
                continue
            network = classifier(model, 10, 32, small_stem=True)
            assert next(network.parameters()).is_meta
            assert network.get_submodule(STEMS[prefix][0]).stride == (1, 1)


@pytest.mark.parametrize("model", ["vgg11", "vit_b_16", "swin_t", "squeezenet1_1", "alexnet"])
def test_a_small_stem_is_refused_by_name_where_there_is_none(model: str) -> None:
    task = Torchvision(model=model, data="CIFAR10", image_size=64, small_stem=True)
    with (
        torch.device("meta"),
        pytest.raises(ParameterError, match=f"there is no small stem for {model}, only for dense"),
    ):
        task.network()


def test_a_transformer_is_built_for_the_size_of_the_pictures() -> None:
    with torch.device("meta"):
        network = Torchvision(model="vit_b_16", data="CIFAR10").network()
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
        with pytest.raises(ParameterError, match="vit_b_16 cannot have pictures of 28 pixels"):
            Torchvision(model="vit_b_16", data="MNIST").network()


@pytest.mark.parametrize("model", ["googlenet", "inception_v3", "regnet_x_400mf"])
def test_networks_that_ask_for_more_are_built_without_a_warning(model: str) -> None:
    with torch.device("meta"):
        network = Torchvision(model=model, data="CIFAR100").network()
    assert all(parameter.is_meta for parameter in network.parameters())


def test_unknown_names_are_refused_with_those_that_are_close() -> None:
    with pytest.raises(UnknownNameError, match=r"no model 'resnet_18' .*; close to it: resnet18"):
        Torchvision(model="resnet_18", data="MNIST").network()
    with pytest.raises(UnknownNameError, match=r"no data set 'cifar' .*; close to it: .*CIFAR10"):
        Torchvision(model="resnet18", data="cifar")
    with pytest.raises(UnknownNameError, match=r"no data set 'x' .*; known: CIFAR10, CIFAR100"):
        Torchvision(model="resnet18", data="x")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"data": "ImageFolder"}, "folder belongs to ImageFolder, .* got None for ImageFolder"),
        ({"data": "MNIST", "folder": "x"}, "folder belongs .* got 'x' for MNIST"),
        ({"data": "MNIST", "image_size": 0}, r"image_size must be 1 .. 4096, got 0"),
        ({"data": "MNIST", "classes": 0}, r"classes must be 1 .. 1000000, got 0"),
    ],
)
def test_params_that_cannot_be_are_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Torchvision(model="resnet18", **params)
