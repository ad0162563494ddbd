"""What chats of a home remember of what was typed."""

import os
from pathlib import Path

from stigmer_cli.cli.chat.history import BYTES_MAX, ChatHistory
from stigmer_cli.stack.home import CHAT_HISTORY


def test_messages_come_back_whole_and_nobody_else_can_read_them(tmp_path: Path) -> None:
    (tmp_path / CHAT_HISTORY).touch(mode=0o644)
    history = ChatHistory(tmp_path)
    for text in ("one", "two\nlines\r\u2028", '日本語 \\ "'):
        history.append(text)
    assert ChatHistory(tmp_path).load() == ["one", "two\nlines\r\u2028", '日本語 \\ "']
    assert (tmp_path / CHAT_HISTORY).stat().st_mode & 0o777 == 0o600


def test_a_line_that_is_broken_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / CHAT_HISTORY).write_bytes(b'"one"\n"cut sho\n7\n\xff\n"two"\n')
    assert ChatHistory(tmp_path).load() == ["one", "two"]


def test_a_long_history_loses_its_oldest_half(tmp_path: Path) -> None:
    history = ChatHistory(tmp_path)
    for number in range(30):
        history.append(f"{number} " + "x" * 50_000)
    kept = history.load()
    assert kept[-1].startswith("29 ")
    assert kept[0].startswith("21 ")
    assert (tmp_path / CHAT_HISTORY).stat().st_size <= BYTES_MAX // 2
    assert (tmp_path / CHAT_HISTORY).stat().st_mode & 0o777 == 0o600


def test_a_history_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / CHAT_HISTORY)
    history = ChatHistory(tmp_path)
    history.append("nobody reads this")
    assert history.load() == []
    assert ChatHistory(tmp_path / "missing").load() == []
