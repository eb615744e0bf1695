"""Names of tensors without what wrappers put before them. Importing this does not import torch."""

from collections.abc import Iterable, Iterator

from weightcast.models.naming import WRAPPERS


def strippings(names: Iterable[str], scalars: Iterable[str] = ()) -> Iterator[dict[str, str]]:
    """Yield each name with its plain one, with no prefix taken away, then with one, two and so on.

    A prefix goes if all names have it, but for those of scalars.

    Args:
        names: as they are in a file.
        scalars: those of them that a wrapper may have added, and so need not have its prefix.
    """
    found = {name: name for name in names}
    free = set(scalars)
    deciding = [name for name in found if name not in free]
    yield dict(found)
    while prefix := _prefix([found[name] for name in deciding]):
        found = {name: plain.removeprefix(prefix) for name, plain in found.items()}
        if len(set(found.values())) < len(found):
            return
        yield dict(found)


def plain_names(names: Iterable[str], scalars: Iterable[str] = ()) -> dict[str, str]:
    """Return each name with its plain one; arguments as for `strippings`.

    >>> plain_names(["module._orig_mod.fc.weight", "module._orig_mod.fc.bias"])
    {'module._orig_mod.fc.weight': 'fc.weight', 'module._orig_mod.fc.bias': 'fc.bias'}
    >>> plain_names(["module.fc.weight", "scale"])
    {'module.fc.weight': 'module.fc.weight', 'scale': 'scale'}
    """
    *_, last = strippings(names, scalars)
    return last


def _prefix(names: list[str]) -> str:
    """Return the wrapper's prefix that all names have, and more behind it; '' for none."""
    shared = (p for p in WRAPPERS if all(n.startswith(p) and n != p for n in names))
    return next(shared, "") if names else ""
