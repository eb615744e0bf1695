import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightcast.errors import FormatError
from weightcast.wire.digest import digest_of, parse_digest


def test_a_digest_survives_its_field() -> None:
    field = digest_of(b"abc")
    assert digest_of(b"abc") == field
    assert parse_digest(f"md5=:AAAA:, {field}").hex().startswith("ba7816bf")


@pytest.mark.parametrize(
    "field",
    [
        "",
        "sha-256",
        "sha-256=::",
        "sha-256=:AAAA:",
        "sha-256=:\xe9:",
        "sha-256=:a b:",
        "sha-512=:AA:",
    ],
)
def test_a_field_without_a_digest_is_refused(field: str) -> None:
    with pytest.raises(FormatError, match="Content-Digest holds no sha-256 digest"):
        parse_digest(field)


@given(st.text().map(lambda text: f"sha-256=:{text}:"))
def test_no_text_breaks_the_parser(field: str) -> None:
    with pytest.raises(FormatError):
        parse_digest(field)
