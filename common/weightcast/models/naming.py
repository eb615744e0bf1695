"""Names of tensors: how messages show them, which ones patterns choose, what wrappers add."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""What torch's DataParallel and `torch.compile`, Lightning and common code put before a name."""


def shown(name: str, limit: int = 80) -> str:
    """Return a name in quotes for a message: one line, at most ``limit`` letters of the name.

    >>> shown("a" * 100, limit=11)
    "'aaaaa…aaaaa'"
    """
    if len(name) > limit:
        half = (limit - 1) // 2
        name = f"{name[:half]}…{name[-half:]}"
    return f"'{printable(name)}'"


def printable(text: str) -> str:
    """Return a text as one line without control characters, which a terminal would obey.

    >>> printable("a line\\n\\x1b[2Janother")
    'a line\\\\n\\\\x1b[2Janother'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def matches(name: str, pattern: str) -> bool:
    """Return whether a pattern fits a tensor's name: the one syntax for all such patterns.

    `*`, `?` and `[...]` stand for what they do in a shell; `!` in front turns the answer.

    >>> matches("layer4.0.conv1.weight", "layer4.*"), matches("fc.weight", "!layer4.*")
    (True, True)
    """
    plain = pattern.removeprefix("!")
    return fnmatchcase(name, plain) == (plain == pattern)


class Shaped(Protocol):
    """Anything with the name and shape of a tensor."""

    @property
    def name(self) -> str:
        """As in the state_dict."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice of weights by name among the tensors with two or more dimensions.

    Args:
        include: patterns; if there are any, one must match the name.
        exclude: patterns; none may match the name.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __call__(self, tensor: Shaped) -> bool:
        """Return whether a tensor is a weight."""
        chosen = not self.include or any(matches(tensor.name, one) for one in self.include)
        refused = any(matches(tensor.name, one) for one in self.exclude)
        return len(tensor.shape) >= 2 and chosen and not refused

    def idle(self, tensors: Sequence[Shaped]) -> list[str]:
        """Return the patterns that match none of these tensors."""
        patterns = (*self.include, *self.exclude)
        return [one for one in patterns if not any(matches(t.name, one) for t in tensors)]


def chosen_by(include: Sequence[str], exclude: Sequence[str]) -> Choice:
    """Return the `Choice` of these patterns."""
    return Choice(tuple(include), tuple(exclude))


def without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Return each name as the network inside its wrappers has it, with the name that it has here.

    A prefix goes if all names with a dot have it; then the next one is looked for.

    >>> without_wrappers(["module.conv.weight", "module.conv.bias", "epoch"])
    {'conv.weight': 'module.conv.weight', 'conv.bias': 'module.conv.bias', 'epoch': 'epoch'}
    """
    found = {name: name for name in names}
    while True:
        dotted = [name for name in found if "." in name]
        prefix = next((p for p in WRAPPERS if all(n.startswith(p) for n in dotted)), "")
        shorter = {name.removeprefix(prefix): here for name, here in found.items()}
        if not dotted or not prefix or len(shorter) < len(found):
            return found
        found = shorter


def difference(found: Iterable[Shaped], wanted: Iterable[Shaped], limit: int = 3) -> str:
    """Return in words which tensors are missing, too many or of another shape; '' for none."""
    here = {tensor.name: tensor.shape for tensor in found}
    there = {tensor.name: tensor.shape for tensor in wanted}
    lists = {
        "missing": [shown(name) for name in there if name not in here],
        "not expected": [shown(name) for name in here if name not in there],
        "of another shape": [
            f"{shown(name)} ({list(here[name])}, expected {list(shape)})"
            for name, shape in there.items()
            if name in here and here[name] != shape
        ],
    }
    return "; ".join(f"{kind}: {some(names, limit)}" for kind, names in lists.items() if names)


def some(texts: Sequence[str], limit: int = 3) -> str:
    """Return the first few of a list in words, and how many more there are.

    >>> some(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    first = ", ".join(texts[:limit])
    more = len(texts) - limit
    return f"{first} and {more} more" if more > 0 else first
