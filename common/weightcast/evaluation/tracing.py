"""A network as the graph of what it computes in evaluation, with batch norm folded."""

import operator
from collections import Counter
from collections.abc import Callable, Iterator

from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from weightcast.errors import ModelError

UNTRACEABLE = (
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    fx.proxy.TraceError,
)
"""What tracing raises where a network asks for the values, type or size of its input."""

_INERT_MODULES = (nn.Identity, nn.modules.dropout._DropoutNd)


class FoldedGraph(fx.GraphModule):
    """A network's graph, batch norm folded, for inputs of any layout."""


class _Proxy(fx.Proxy):
    """A stand-in that knows `+=` and its like; torch's own would make `+` of it."""

    def __iadd__(self, other: object) -> fx.Proxy:
        return self._changed(operator.iadd, other)

    def __isub__(self, other: object) -> fx.Proxy:
        return self._changed(operator.isub, other)

    def __imul__(self, other: object) -> fx.Proxy:
        return self._changed(operator.imul, other)

    def __itruediv__(self, other: object) -> fx.Proxy:
        return self._changed(operator.itruediv, other)

    def _changed(self, operation: Callable[..., object], other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_known = isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
        return is_known or super().is_leaf_module(m, module_qualified_name)


def traced(network: nn.Module) -> fx.GraphModule | None:
    """Return the graph of a network, or None where it has none that holds for every input.

    The modules in it are those of the network, a `0.` before their names. Tracing runs the network
    on a stand-in for its input; whatever depends on more than the input stays as it is now, such as
    being in evaluation mode.

    Source: Reed et al., "torch.fx: practical program capture and transformation for deep learning
    in Python", MLSys 2022.
    """
    outer = nn.Sequential(network)
    outer.training = network.training
    try:
        graph = _Tracer().trace(outer)
    except UNTRACEABLE:
        return None
    return fx.GraphModule(outer, graph)


def folded(network: nn.Module) -> FoldedGraph | None:
    """Return the graph of a network without what does nothing, batch norm folded; None as `traced`.

    The network itself stays as it is. A batch norm is folded where it follows a convolution and
    nothing else sees what comes between.

    Source: Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", CVPR 2018, section 3.2.
    """
    graph = traced(network)
    if graph is None:
        return None
    for node in list(graph.graph.nodes):
        if _is_inert(graph, node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif node.op == "call_method" and node.target == "view" and _is_of_sizes(node.args[1:]):
            # A view of what is channels_last here may not exist; where it exists, it is the same.
            node.target = "reshape"
    for first, second in list(_normed(graph)):
        convolution, norm = (graph.get_submodule(str(node.target)) for node in (first, second))
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        graph.set_submodule(str(first.target), fuse_conv_bn_eval(convolution, norm))
        second.replace_all_uses_with(first)
        graph.graph.erase_node(second)
    graph.delete_all_unused_submodules()
    return FoldedGraph(graph, graph.graph)


def normed_convolutions(network: nn.Module) -> list[tuple[str, str]]:
    """Return the names of each convolution and of the batch norm that follows it.

    Raises:
        ModelError: the network has no graph.
    """
    graph = traced(network)
    if graph is None:
        raise ModelError("the network cannot be traced: what it computes depends on its input")
    return [
        (str(first.target).removeprefix("0."), str(second.target).removeprefix("0."))
        for first, second in _normed(graph)
    ]


def plain_convolution(graph: fx.GraphModule, node: object) -> nn.Conv2d | None:
    """Return the convolution that a node calls, if nothing else calls it or changes its weights.

    One of a class of its own must say by `is_plain_convolution` that it computes what `nn.Conv2d`
    does.
    """
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    found = graph.get_submodule(str(node.target))
    is_plain = type(found) is nn.Conv2d or getattr(found, "is_plain_convolution", False)
    if not isinstance(found, nn.Conv2d) or not is_plain or has_hooks(found):
        return None
    calls = Counter(other.target for other in graph.graph.nodes if other.op == "call_module")
    return found if calls[node.target] == 1 else None


def has_hooks(module: nn.Module) -> bool:
    """Return whether something else is called whenever a module is."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _normed(graph: fx.GraphModule) -> Iterator[tuple[fx.Node, fx.Node]]:
    for node in graph.graph.nodes:
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            continue
        first, norm = node.args[0], graph.get_submodule(node.target)
        if type(norm) is not nn.BatchNorm2d or norm.running_mean is None:
            continue
        if norm.training or has_hooks(norm):
            continue
        if plain_convolution(graph, first) is not None and len(first.users) == 1:
            yield first, node


def _is_inert(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node returns its first argument."""
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        return type(module) is nn.Identity or (
            isinstance(module, _INERT_MODULES) and not module.training
        )
    name = getattr(node.target, "__name__", "")
    if node.target is functional.dropout:
        return node.kwargs.get("training") is False
    # Of torchvision.ops, which nothing here needs to import: (input, p, mode, training).
    return name == "stochastic_depth" and node.args[3:] == (False,)


def _is_of_sizes(args: tuple[object, ...]) -> bool:
    return all(isinstance(arg, int | tuple | list | fx.Node) for arg in args)
