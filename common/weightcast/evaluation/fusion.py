"""A convolution with the sum and the rectifier that follow it, as one operation on a CPU.

They are done while a result is still in the processor, so that it is written once and, in bfloat16,
rounded once.
"""

import copy
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from weightcast.evaluation.tracing import FoldedGraph, folded, has_hooks, plain_convolution

SUMS_IN_PLACE = (operator.iadd, "add_")
SUMS = (operator.add, torch.add, "add", *SUMS_IN_PLACE)

MODULES: dict[object, type[nn.Module]] = {
    functional.gelu: nn.GELU,
    functional.hardsigmoid: nn.Hardsigmoid,
    functional.hardswish: nn.Hardswish,
    functional.hardtanh: nn.Hardtanh,
    functional.leaky_relu: nn.LeakyReLU,
    functional.relu: nn.ReLU,
    functional.relu6: nn.ReLU6,
    functional.silu: nn.SiLU,
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    torch.sigmoid: nn.Sigmoid,
    torch.tanh: nn.Tanh,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
"""The module that does what a function or a method of tensors does, with the same arguments."""

NAMES: dict[type[nn.Module], str] = {
    nn.GELU: "gelu",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardswish: "hardswish",
    nn.Hardtanh: "hardtanh",
    nn.LeakyReLU: "leaky_relu",
    nn.ReLU: "relu",
    nn.ReLU6: "hardtanh",
    nn.SiLU: "swish",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
}
"""What torch's operation calls a module; after a sum it knows a rectifier only."""


class OnePass(nn.Module):
    """A convolution, the sum with another image if one is given, and what follows.

    Args:
        layer: the convolution; zeros are around its images.
        after: one of `NAMES`, after a sum `nn.ReLU`; None for nothing.
    """

    def __init__(self, layer: nn.Conv2d, after: nn.Module | None) -> None:
        super().__init__()
        self.layer, self.after = layer, after
        self._name = None if after is None else NAMES[type(after)]
        self._variant = getattr(after, "approximate", "")
        self._numbers = [
            float(getattr(after, name))
            for name in ("negative_slope", "min_val", "max_val")
            if hasattr(after, name)
        ]

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """Map (n, n_in, h, w), and what is added, to (n, n_out, h', w')."""
        layer = self.layer
        where = (layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation)
        then = (self._name, self._numbers, self._variant)
        operation = torch.ops.mkldnn._convolution_pointwise
        y: Tensor
        if added is None:
            y = operation(x, *where, layer.groups, *then)
        elif self._is_like_output(x, added):
            y = operation.binary(x, added, *where, layer.groups, "add", 1.0, *then)
        else:
            y = layer(x) + added
            y = y if self.after is None else self.after(y)
        return y

    def _is_like_output(self, x: Tensor, added: Tensor) -> bool:
        """Whether what is added has the shape and the type of the convolution's result."""
        layer = self.layer
        size = [
            1 + (side + 2 * int(layer.padding[i]) - layer.dilation[i] * (kernel - 1) - 1) // stride
            for i, (side, kernel, stride) in enumerate(
                zip(x.shape[2:], layer.kernel_size, layer.stride, strict=True)
            )
        ]
        return added.dtype == x.dtype and added.shape == (len(x), layer.out_channels, *size)


def fused(network: nn.Module) -> FoldedGraph | None:
    """Return the graph of a network, batch norm folded, in fewer passes; None as `folded`.

    The network stays as it is; its type of numbers and what it computes, too, but for rounding.
    """
    graph = folded(network)
    return None if graph is None else in_one_pass(graph)


def in_one_pass(graph: FoldedGraph) -> FoldedGraph:
    """Return a copy of a folded graph where convolutions take in what follows them.

    Only if nothing else sees what comes between, and where the new operation stands at the place
    of the convolution: so what else happens, in place or not, happens before or after it as it did.
    """
    graph = copy.deepcopy(graph)
    if not is_possible():
        return graph
    for node in list(graph.graph.nodes):
        layer = plain_convolution(graph, node)
        if layer is None or type(layer) is not nn.Conv2d or not _is_usual(layer):
            continue
        added, after, taken = _followers(graph, node)
        if taken:
            graph.set_submodule(str(node.target), OnePass(layer, after))
            node.args = (*node.args, *added)
            taken[-1].replace_all_uses_with(node)
            for other in reversed(taken):
                graph.graph.erase_node(other)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def is_possible() -> bool:
    """Return whether this torch has the operation, and the machine can do it in bfloat16.

    It is what torch's own compiler calls, and in nobody's documentation.
    """
    one = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16)
    try:
        operation = torch.ops.mkldnn._convolution_pointwise
        operation(one, one, None, [0, 0], [1, 1], [1, 1], 1, "relu", [], "")
    except (AttributeError, RuntimeError):
        return False
    return True


def _is_usual(layer: nn.Conv2d) -> bool:
    on_cpu = layer.weight.device.type == "cpu"
    return on_cpu and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _followers(
    graph: fx.GraphModule, node: fx.Node
) -> tuple[list[fx.Node], nn.Module | None, list[fx.Node]]:
    """Return what is added to a convolution, the module after it, and the nodes of both."""
    added = _added(graph, node)
    end = node.next if added else node
    after = _module_after(graph, end)
    if added and type(after) is not nn.ReLU:
        after = None
    taken = [node.next] if added else []
    return added, after, taken if after is None else [*taken, *end.users]


def _added(graph: fx.GraphModule, node: fx.Node) -> list[fx.Node]:
    """Return the other term of the sum that follows a node at once; nothing if there is none."""
    user = _only_user(node)
    if user is not node.next or user.target not in SUMS or len(user.args) != 2 or user.kwargs:
        return []
    others = [arg for arg in user.args if isinstance(arg, fx.Node) and arg is not node]
    if len(others) != 1:
        return []
    is_changed = user.target in SUMS_IN_PLACE and user.args[0] is not node
    return [] if is_changed and not _is_own(graph, others[0]) else others


def _is_own(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node makes a tensor of its own, which only one other node sees."""
    if node.op != "call_module" or len(node.users) != 1:
        return False
    module = graph.get_submodule(str(node.target))
    return isinstance(module, nn.Conv2d | nn.BatchNorm2d | OnePass)


def _module_after(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module, or that of the function, that alone takes a node in; None for neither."""
    user = _only_user(node)
    if user is None or not user.args or user.args[0] is not node:
        return None
    if user.op == "call_module":
        module = graph.get_submodule(str(user.target))
        is_known = type(module) in NAMES and len(user.args) == 1 and not has_hooks(module)
        return module if is_known else None
    kind = MODULES.get(user.target)
    more: Any = (*user.args[1:], *user.kwargs.values())
    if kind is None or any(isinstance(one, fx.Node) for one in more):
        return None
    return kind(*user.args[1:], **user.kwargs)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
