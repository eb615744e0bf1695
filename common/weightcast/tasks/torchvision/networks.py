"""The classifiers of torchvision, and their small stems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightcast.errors import ParameterError
from weightcast.tasks.torchvision.catalogue import unknown

if TYPE_CHECKING:
    from torch import nn

STEMS: dict[str, tuple[str, str | None]] = {
    "densenet": ("features.conv0", "features.pool0"),
    "efficientnet_": ("features.0.0", None),
    "mnasnet": ("layers.0", None),
    "mobilenet_v": ("features.0.0", None),
    "regnet_": ("stem.0", None),
    "resnet": ("conv1", "maxpool"),
    "resnext": ("conv1", "maxpool"),
    "shufflenet_v2": ("conv1.0", "maxpool"),
    "wide_resnet": ("conv1", "maxpool"),
}
"""The first convolution and the pooling after it, by the beginning of the network's name."""

USUAL_SIZE = 224
"""Pixels of a side for which the vision transformers are made, unless they are told."""


def classifier(model: str, n_classes: int, size: int | None, *, small_stem: bool) -> nn.Module:
    """Return a new network.

    Args:
        model: a name in `torchvision.models.list_models(module=torchvision.models)`.
        n_classes: of its output.
        size: side of its pictures in pixels; only vision transformers and MaxViT need it.
        small_stem: see `with_small_stem`.

    Raises:
        UnknownNameError: no classifier of that name; says which are close.
        ParameterError: the network cannot have this size or a small stem.
    """
    import torch
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise unknown("model", model, known)
    more: dict[str, Any] = {}
    if model.startswith("vit_"):
        more["image_size"] = size or USUAL_SIZE
    elif model.startswith("maxvit"):
        more["input_size"] = (size or USUAL_SIZE,) * 2
    elif model in ("googlenet", "inception_v3"):
        more |= {"aux_logits": False, "init_weights": False}
    # RegNet computes its layout with tensors, which it cannot on the meta device.
    device = "cpu" if model.startswith("regnet_") else torch.get_default_device()
    try:
        with torch.device(device):
            network = models.get_model(model, weights=None, num_classes=n_classes, **more)
    except (AssertionError, ValueError) as error:
        raise ParameterError(f"{model} cannot have pictures of {size} pixels: {error}") from None
    if small_stem:
        with_small_stem(model, network)
    moved: nn.Module = network.to(torch.get_default_device())
    return moved


def with_small_stem(model: str, network: nn.Module) -> None:
    """Let a network start at full resolution, in place: for pictures of some 32 pixels.

    Its first convolution becomes 3x3 with stride 1, and the max-pool after it goes.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    Raises:
        ParameterError: it is not known how.
    """
    from torch import nn

    convolution, pool = next((STEMS[p] for p in STEMS if model.startswith(p)), ("", None))
    old = network.get_submodule(convolution)
    if not isinstance(old, nn.Conv2d):
        known = ", ".join(f"{prefix}*" for prefix in STEMS)
        raise ParameterError(f"there is no small stem for {model}, only for {known}")
    new = nn.Conv2d(3, old.out_channels, 3, padding=1, bias=False, device=old.weight.device)
    network.set_submodule(convolution, new)
    if pool is not None:
        network.set_submodule(pool, nn.Identity())
