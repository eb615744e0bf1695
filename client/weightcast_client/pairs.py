"""Options of the form key=value."""

from weightcast.errors import ParameterError


def pairs(texts: list[str] | None) -> dict[str, str]:
    """Split texts like `std=0.1` into keys and values; of a key given twice the last counts.

    Raises:
        ParameterError: no equals sign, or nothing before it.
    """
    found = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ParameterError(f"expected key=value, got '{text}'")
        found[key] = value
    return found
