"""A lock on a file system that has none."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from stigmer_cli.supervisor.lock import FileLock


def test_a_file_that_cannot_be_locked_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = os.open(tmp_path, os.O_RDONLY)
    os.close(before)
    with pytest.raises(OSError, match="no locks available"):
        FileLock(tmp_path / "a.lock").acquire()
    after = os.open(tmp_path, os.O_RDONLY)
    os.close(after)
    assert after == before, "the lowest descriptor that is free is the same as before"
