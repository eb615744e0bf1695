"""The same function in other weights: convolutions brought to one magnitude.

A batch norm behind a convolution takes any positive factor of its weights out again, so training
leaves these scales where they happen to end. For noise they are not the same: an alpha for the
whole network is as large as the largest weight allows, and a convolution whose weights are all
small drowns first. Equalisation gives each convolution, or each of its output channels, the largest
magnitude of the whole network. It costs no use of the channel: the factors are in the batch norm's
statistics, which are carried tensors.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from weightcast.errors import ModelError, ParameterError
from weightcast.evaluation.loading import loaded
from weightcast.evaluation.tracing import normed_convolutions

SCOPES = ("layer", "channel")

MOST = 1e6
"""Largest factor; its square times a variance stays far inside float32."""


def equalised(
    network: Callable[[], nn.Module],
    tensors: Mapping[str, Tensor],
    scope: str = "channel",
    strength: float = 1.0,
    what: str = "the network",
) -> dict[str, Tensor]:
    """Return a state_dict, float32, that gives the same logits but for rounding.

    With M the largest magnitude of all weights and m that of a scope, its weights w are multiplied
    by f = (M / m)**strength, at most `MOST`; the mean and the variance of the batch norm behind
    become f mean and f**2 (variance + eps) - eps.

    Args:
        network: builds it, as a task's `network` does.
        tensors: its state_dict, in any float type.
        scope: what gets a factor of its own: `layer`, a convolution, or `channel`, one of its
            output channels.
        strength: 0 .. 1; 0 leaves all as it is, 1 makes all largest magnitudes equal.
        what: the network is called in a message.

    Raises:
        ModelError: the tensors are not those of the network, or a weight is not finite.
        ParameterError: no such scope or strength.

    Source: Nagel et al., "Data-free quantization through weight equalization and bias correction",
    ICCV 2019, section 4.1, where the factor goes into the next layer; here batch norm takes it.
    """
    if scope not in SCOPES:
        raise ParameterError(f"scope must be one of {', '.join(SCOPES)}, got '{scope}'")
    if not 0 <= strength <= 1:
        raise ParameterError(f"strength must be in 0 .. 1, got {strength}")
    model = loaded(network, tensors, what)
    most = float(torch.stack([p.abs().amax() for p in model.parameters() if p.dim() >= 2]).amax())
    if not math.isfinite(most):
        raise ModelError("the model has a weight that is not finite")
    for name, norm_name in normed_convolutions(model):
        convolution: Any = model.get_submodule(name)
        norm: Any = model.get_submodule(norm_name)
        own = convolution.weight.abs().amax((1, 2, 3)).double()
        if scope == "layer":
            own = own.amax().expand_as(own)
        factor = torch.where(own > 0, (most / own).clamp(max=MOST) ** strength, 1.0)
        weight = convolution.weight * factor[:, None, None, None]
        convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
        norm.running_mean = (norm.running_mean * factor).float()
        norm.running_var = ((norm.running_var + norm.eps) * factor**2 - norm.eps).float()
    state: dict[str, Tensor] = model.state_dict()
    return state
