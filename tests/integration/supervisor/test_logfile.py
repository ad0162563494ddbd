"""Log files hold what children wrote, from the first byte, within their size, whatever happens to the file."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stigmer_cli.supervisor.logfile import LogFile
from tests.support.polling import until_true
from tests.support.processes import SLEEP, child, supervised

FLOOD = "import sys; [print(f'line {n:06} ' + 'x' * 80) for n in range(20000)]; "


async def test_both_streams_are_kept_from_the_first_byte(tmp_path: Path) -> None:
    code = "import os, time; os.write(2, b'err\\n'); os.write(1, b'out\\nup\\n'); time.sleep(600)"
    async with supervised(tmp_path, child(tmp_path, "a", code)) as it:
        await it.says("a")

        assert (tmp_path / "a.log").read_bytes() == b"err\nout\nup\n"
        assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600


async def test_a_flood_is_rotated_without_a_torn_line_and_stays_within_its_size(tmp_path: Path) -> None:
    spec = child(tmp_path, "a", FLOOD + SLEEP)
    async with supervised(tmp_path, spec, log_size_max=200_000, log_files_max=3) as it:
        await it.says("a", "\nup\n")

        assert _log_names(tmp_path) == ["a.log", "a.log.1", "a.log.2"]
        texts = [(tmp_path / name).read_text() for name in ("a.log.2", "a.log.1", "a.log")]
        assert all(len(text) <= 200_000 + 92 for text in texts)
        lines = "".join(texts).removesuffix("up\n").splitlines()
        first = int(lines[0].split()[1])
        assert lines == [f"line {number:06} " + "x" * 80 for number in range(first, 20_000)]


def test_a_line_that_fills_the_file_to_the_last_byte_is_not_torn(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", size_max=10, files_max=3)
    for piece in (b"12345\n1234", b"5678\nnext\n"):
        log.write(piece)
    log.close()

    assert (tmp_path / "a.log.1").read_bytes() == b"12345\n12345678\n"
    assert (tmp_path / "a.log").read_bytes() == b"next\n"


def test_a_line_without_an_end_is_rotated_all_the_same(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", size_max=1000, files_max=3)
    for _ in range(100):
        log.write(b"x" * 1000)
    log.close()

    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1000 + 4096 + 1000


def _log_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("a.log*"))


async def test_a_deleted_log_file_is_created_again(tmp_path: Path) -> None:
    code = "import sys, time; [print(n, flush=True) or time.sleep(0.01) for n in range(100000)]"
    async with supervised(tmp_path, child(tmp_path, "a", code)) as it:
        await it.says("a", "5\n")
        (tmp_path / "a.log").unlink()

        await until_true((tmp_path / "a.log").exists, "made anew")


def test_the_tail_in_memory_holds_the_last_lines(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", size_max=1000, files_max=2)
    for number in range(100):
        log.write(b"line %d\nunfin" % number)
        log.write(b"ished\n")
    log.write(b"the rest")
    log.close()

    assert log.tail[-3:] == ("line 99", "unfinished", "the rest")
    assert len(log.tail) == 41


@contextmanager
def no_room() -> Iterator[None]:
    """Files of this process cannot grow beyond 1 KiB, as on a full disk.

    Only within the block, never as long as a fixture: the test run's own output may be a file, too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_costs_lines_but_neither_raises_nor_forgets_how_many(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", size_max=10_000, files_max=2)
    with no_room():
        log.write(b"x" * 1000 + b"\n")
        log.write(b"y" * 1000 + b"\n")
        log.write(b"z" * 10 + b"\n")

    assert log.dropped > 0
    assert log.tail[-1] == "z" * 10

    (tmp_path / "a.log").unlink()
    log.write(b"room again\n")
    log.close()
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert lines[0].endswith("bytes of log dropped: they could not be written")
    assert lines[1] == "room again"
    assert log.dropped == 0


def test_a_folder_that_cannot_be_written_costs_lines_only(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError, match=os.strerror(errno.ENOTDIR)):
        (file / "a.log").open("wb")

    log = LogFile(file / "a.log", size_max=1000, files_max=2)
    log.write(b"lost\n")

    assert log.dropped == 5
    assert log.tail == ("lost",)
