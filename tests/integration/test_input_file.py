"""Files that a person names as input, of every kind that a file system has."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stigmer_cli.cli.executions.options import Message
from stigmer_cli.cli.executions.run import MESSAGE_BYTES_MAX, _read_message
from stigmer_cli.cli.input_file import read_input_file
from stigmer_cli.errors import ConfigError


def _read(path: Path | str, bytes_max: int = 10) -> bytes:
    return read_input_file(str(path), bytes_max=bytes_max, hint="stigmer --help")


def test_a_file_is_read_up_to_one_byte_more_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(b"0123456789")
    assert _read(path) == b"0123456789"
    assert _read(path, 4) == b"01234"


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name, words in {
            str(tmp_path / "pipe"): "it is a named pipe, not a file",
            str(tmp_path): "Is a directory",
            "/dev/zero": "it is a device, not a file",
            "socket": "No such device or address",
            "missing": "No such file or directory",
            "nul\0": "null byte",
        }.items():
            with pytest.raises(ConfigError, match=words):
                _read(name)


def test_what_the_shell_has_opened_is_read_to_its_end() -> None:
    script = "from tests.integration.test_input_file import _read; import sys; print(_read(sys.argv[1]))"
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -c '{script}' <(printf one; sleep 0.2; printf two)"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "b'onetwo'\n"


def test_a_message_is_read_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "message.md"
    path.write_text("two\nlines\n\n")
    assert _read_message(Message(text=None, file=str(path))) == "two\nlines\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"caf\xe9", "is not UTF-8 text .byte 3."),
        (b"x" * 1_000_001, "is longer than 1,000,000 characters"),
        ("é".encode() * 1_000_001, "is longer than 1,000,000 characters"),
        (b"x" * (MESSAGE_BYTES_MAX + 1), "is longer than 1,000,000 characters"),
    ],
)
def test_a_message_that_no_server_takes_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "message"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        _read_message(Message(text=None, file=str(path)))


def test_a_message_is_given_once() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        _read_message(Message(text="hello", file="message"))
    with pytest.raises(ConfigError, match="missing argument 'MESSAGE', or --file FILE"):
        _read_message(Message(text=None, file=None))


def test_the_message_of_an_editor_of_windows_has_neither_its_mark_nor_half_an_end_of_line(tmp_path: Path) -> None:
    path = tmp_path / "message.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert _read_message(Message(text=None, file=str(path))) == "one\r\ntwo"
