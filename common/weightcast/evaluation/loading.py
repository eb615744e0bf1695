"""A network with given tensors, ready to be evaluated."""

from collections.abc import Callable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from weightcast.errors import ModelError
from weightcast.models.wrappers import strippings

N_DIFFERENCES = 3
"""Tensors that a message names."""

_COUNTER = "num_batches_tracked"


def loaded(network: Callable[[], nn.Module], tensors: Mapping[str, Tensor], what: str) -> nn.Module:
    """Return a network with these tensors as float32, in evaluation mode.

    Prefixes of wrappers, scalars that the network does not have and counters of batches that are
    missing make no difference. Tensors that are float32 already are not copied.

    Args:
        network: builds it.
        tensors: its state_dict, in any float type.
        what: what the network is called in a message.

    Raises:
        ModelError: these are not the tensors of the network; names the first that differ.
    """
    built = _on_meta(network)
    own: dict[str, Tensor] = built.state_dict()
    found = _named_alike(tensors, own)
    differences = _differences({n: t.shape for n, t in found.items()}, own)
    if differences:
        first = "; ".join(differences[:N_DIFFERENCES])
        more = len(differences) - N_DIFFERENCES
        raise ModelError(f"not the tensors of {what}: {first}" + f" and {more} more" * (more > 0))
    state = {name: _like(found.get(name), tensor) for name, tensor in own.items()}
    built.load_state_dict(state, assign=True)
    if _is_incomplete(built):
        built = _on_cpu(network)
        built.load_state_dict(state, assign=True)
    return built.eval().requires_grad_(False)


def _on_meta(network: Callable[[], nn.Module]) -> nn.Module:
    """Build a network without memory for its tensors, or where it cannot be built so, with it."""
    try:
        with torch.device("meta"):
            return network()
    except (NotImplementedError, RuntimeError):  # Some look at their first weights.
        return _on_cpu(network)


def _on_cpu(network: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        return network()


def _is_incomplete(network: nn.Module) -> bool:
    """Whether a tensor that is not in the state_dict was built without memory."""
    plain = (value for module in network.modules() for value in vars(module).values())
    tensors = chain(network.parameters(), network.buffers(), plain)
    return any(isinstance(one, Tensor) and one.is_meta for one in tensors)


def _named_alike(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by the names without prefixes of wrappers that fit the network best."""
    scalars = [name for name, tensor in tensors.items() if tensor.dim() == 0]
    fitting = max(strippings(tensors, scalars), key=lambda names: len(own.keys() & names.values()))
    return {
        plain: tensors[name]
        for name, plain in fitting.items()
        if plain in own or tensors[name].dim() > 0
    }


def _differences(found: Mapping[str, torch.Size], own: Mapping[str, Tensor]) -> list[str]:
    """Return in words, in the order of the network, what is wrong with each tensor."""
    wrong = []
    for name, tensor in own.items():
        if name not in found and not name.endswith(_COUNTER):
            wrong.append(f"'{name}' is missing")
        elif name in found and found[name] != tensor.shape:
            shapes = f"has the shape {tuple(found[name])}, expected {tuple(tensor.shape)}"
            wrong.append(f"'{name}' {shapes}")
    return wrong + [f"'{name}' is not known" for name in found if name not in own]


def _like(tensor: Tensor | None, own: Tensor) -> Tensor:
    """Return a tensor in the kind of numbers of the network's own, or a counter at 0."""
    if tensor is None:
        return torch.zeros(own.shape, dtype=own.dtype)
    return tensor.to(torch.float32 if own.is_floating_point() else own.dtype)
