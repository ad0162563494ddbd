"""What was typed in chats of this home, for the arrow keys: a JSON string a line, readable for its owner only."""

import json
import os
from contextlib import suppress
from pathlib import Path

from stigmer_cli.files import OWNER_ONLY, write_atomically
from stigmer_cli.stack.home import CHAT_HISTORY

BYTES_MAX = 1_000_000
"""A longer file is cut to half of that when a chat begins."""


class ChatHistory:
    """The messages typed so far. A file that cannot be read or written is no error: the chat has no history then."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CHAT_HISTORY

    def load(self) -> list[str]:
        """The messages, oldest first."""
        try:
            if not self._path.is_file():  # nobody may ever write to a named pipe
                return []
            data = self._path.read_bytes()
            if len(data) > BYTES_MAX:
                data = data[-BYTES_MAX // 2 :].partition(b"\n")[2]
                write_atomically(self._path, data, OWNER_ONLY, is_durable=False)
        except OSError:
            return []
        return [text for line in data.splitlines() if (text := _read_line(line))]

    def append(self, text: str) -> None:
        """Keep one more message."""
        line = json.dumps(text) + "\n"
        with suppress(OSError):
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, OWNER_ONLY)
            try:
                os.fchmod(fd, OWNER_ONLY)
                os.write(fd, line.encode())  # one write: two chats of one home do not mix their lines
            finally:
                os.close(fd)


def _read_line(line: bytes) -> str:
    """The message in `line`; empty for a line that is none, such as one that a full disk cut."""
    try:
        found = json.loads(line)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""
