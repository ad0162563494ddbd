"""The value of a secret, as standard input holds it."""

from io import BytesIO

import pytest

from stigmer_cli.cli.secrets.set import read_value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"sk-123456\n", "sk-123456"),
        (b"\xef\xbb\xbfsk-123456\r\n", "sk-123456"),
        (b"two\nlines\n\n", "two\nlines\n"),
    ],
)
def test_a_value_has_neither_the_end_of_its_last_line_nor_the_mark_of_utf_8(data: bytes, value: str) -> None:
    assert read_value(BytesIO(data)) == value
