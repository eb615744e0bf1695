"""A request that is refused, apart from the web framework that says so."""

from typing import Any

from weightcast.errors import WeightcastError


class Refusal(WeightcastError):
    """A request that is refused.

    Args:
        status: HTTP status.
        kind: stable name, the last part of the problem's type.
        detail: one line for people.
        fields: further members of the answer.
    """

    def __init__(self, status: int, kind: str, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.status, self.kind, self.fields = status, kind, fields
