"""The store as a file among processes and faults: held by one, never lost, never touched when damaged."""

# ruff: noqa: ASYNC240 (nobody else runs in the loop of a test)

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import ConfigError, InUse, MachineError, StoreBusy
from stigmer_cli.store.executions import AcceptResult
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import RealSleepClock, draft
from tests.integration.store.conftest import Start, kill


async def opened(file: Path, *, busy_timeout_s: float = 5.0) -> Store:
    return await open_store(f"sqlite:///{file}", clock=SystemClock(), owner="here", busy_timeout_s=busy_timeout_s)


async def accept(store: Store, *, message: str = "hello") -> AcceptResult:
    return await store.executions.accept(draft(message=message), reason=QueueReason.ACCEPTED, detail="")


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_kill_9_loses_no_acknowledged_execution(file: Path, start_writer: Start) -> None:
    acknowledged: list[ExecutionId] = []
    for kills in range(1, 5):
        process = start_writer(file, 100_000)
        assert line(process) == "open"
        acknowledged += [ExecutionId(line(process)) for _ in range(5 * kills)]
        acknowledged += [ExecutionId(rest) for rest in kill(process).split() if len(rest) == 30]
    async with await opened(file) as store:
        for id_ in acknowledged:
            assert len(await store.events.list(id_)) == 1
        assert await store.executions.queued_count() >= len(acknowledged)


async def test_a_second_server_is_refused_and_learns_who_holds_the_file(file: Path, start_writer: Start) -> None:
    process = start_writer(file, 1)
    assert line(process) == "open"
    with pytest.raises(InUse, match=rf"already in use by pid {process.pid} \(http://127.0.0.1:7234\)") as refused:
        await opened(file)
    assert refused.value.exit_code == 3
    link = file.with_name("other-name.db")
    link.symlink_to(file)
    with pytest.raises(InUse, match="already in use"):
        await opened(link)
    kill(process)
    async with await opened(file) as store:
        await store.check()


async def test_two_in_one_process_are_two(file: Path) -> None:
    async with await opened(file):
        with pytest.raises(MachineError, match=f"pid {os.getpid()}"):
            await opened(file)


async def test_a_foreign_writer_is_waited_for_and_then_named_busy(file: Path) -> None:
    async with await opened(file, busy_timeout_s=0.2) as store:
        with closing(sqlite3.connect(file)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy, match=r"held by another writer for 0\.2s"):
                await accept(store)
            await store.check()
            assert await store.executions.count_by_phase() == {}
        await accept(store)
        assert await store.executions.queued_count() == 1


async def test_a_writer_that_was_cancelled_leaves_a_store_that_works(file: Path) -> None:
    async with await opened(file) as store:
        kept = 0
        for number in range(60):
            try:
                async with asyncio.timeout(0.0003 * number):
                    await accept(store)
                    kept += 1
            except TimeoutError:
                pass
        await accept(store)
        await store.check()
        assert await store.executions.queued_count() > kept


async def test_a_deleted_file_is_noticed_and_not_created_again(file: Path) -> None:
    async with await opened(file) as store:
        await accept(store)
        file.rename(file.with_name("away"))
        for refused in (accept(store), store.check()):
            with pytest.raises(MachineError, match="deleted or replaced"):
                await refused
        assert not file.exists()
        shutil.copy(file.with_name("away"), file)
        with pytest.raises(MachineError, match="deleted or replaced"):
            await accept(store)
        file.with_name("away").replace(file)
        await accept(store)


async def test_a_deleted_log_is_noticed_before_a_commit(file: Path) -> None:
    async with await opened(file) as store:
        await accept(store)
        file.with_name("stigmer.db-wal").unlink()
        with pytest.raises(MachineError, match=r"stigmer\.db-wal was deleted"):
            await accept(store)
        assert await store.executions.queued_count() == 1
    async with await opened(file) as store:
        assert await store.executions.queued_count() == 1


DAMAGE = {
    "header": lambda path: path.write_bytes(b"not a database" + path.read_bytes()[14:]),
    "page": lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 4096 + path.read_bytes()[12288:]),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:20480]),
    "zero length": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_file_is_refused_and_left_as_it_is(file: Path, damage: str) -> None:
    async with await opened(file) as store:
        await accept(store)
    DAMAGE[damage](file)
    before = file.read_bytes()
    with pytest.raises(MachineError, match=r"stigmer\.db is damaged") as caught:
        await opened(file)
    assert "backups" in caught.value.hint
    assert file.read_bytes() == before


BREAKS = """
import asyncio, os, sys
from pathlib import Path
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.errors import MachineError
from stigmer_cli.store.store import open_store
from tests.contracts.store.drafts import draft

async def main(file, begin, end):
    store = await open_store(f"sqlite:///{file}", clock=SystemClock(), owner="here")
    await store.executions.accept(draft(message="kept in the log"), reason=QueueReason.ACCEPTED, detail="")
    with file.open("r+b") as damaged:
        damaged.seek(begin)
        damaged.write(b"\\xff" * ((end or file.stat().st_size) - begin))
    sums = [path.read_bytes() for path in (file, Path(f"{file}-wal"))]
    Path(f"{file}-expected").write_bytes(b"".join(sums))
    try:
        await asyncio.gather(*(store.executions.get(id_) for id_ in sys.argv[4:]))
        await store.check()
    except MachineError as error:
        print(error.message)
    await store.close()

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.mark.parametrize(("begin", "end"), [(8192, 0), (0, 0)], ids=["all but the first pages", "everything"])
async def test_a_file_that_is_damaged_under_a_server_is_left_as_it_is_when_that_ends(
    file: Path, begin: int, end: int
) -> None:
    """SQLite writes the log into the file when the last connection closes."""
    async with await opened(file) as store:
        ids = [(await accept(store, message="x" * 2000)).execution.id for _ in range(50)]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", BREAKS, str(file), str(begin), str(end), *ids],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "is damaged" in done.stdout
    kept = file.read_bytes() + file.with_name("stigmer.db-wal").read_bytes()
    assert kept == file.with_name("stigmer.db-expected").read_bytes()


async def test_a_store_that_is_closed_in_order_leaves_no_log(file: Path) -> None:
    async with await opened(file) as store:
        await accept(store)
        assert file.with_name("stigmer.db-wal").stat().st_size > 0
    assert not file.with_name("stigmer.db-wal").exists()


async def test_a_log_without_its_file_is_refused(file: Path) -> None:
    file.parent.mkdir()
    file.with_name("stigmer.db-wal").write_bytes(b"log")
    with pytest.raises(MachineError, match=r"its log stigmer\.db-wal is there"):
        await opened(file)
    assert not file.exists()


async def test_a_database_of_somebody_else_is_refused(file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    with pytest.raises(MachineError, match="not Stigmer's"):
        await opened(file)


async def test_a_new_file_is_for_its_owner_only(file: Path) -> None:
    async with await opened(file):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:///:memory:", "mysql://x", "postgresql://[::1"])
async def test_a_url_that_names_no_store_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError):
        await open_store(url, clock=RealSleepClock())


async def test_a_postgresql_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Exception, match=r"PostgreSQL at 127\.0\.0\.1:1/x is not available") as caught:
        await open_store("postgresql://me:secret@127.0.0.1:1/x", clock=RealSleepClock())
    assert "secret" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for little."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(place)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("a full disk needs root and the right to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_keeps_what_was_acknowledged_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 100_000)
    kept = 0
    async with await opened(small_disk / "stigmer.db") as store:
        with pytest.raises(MachineError, match=r"disk full: .*stigmer\.db: .* KiB free"):  # noqa: PT012 (the one that fills the disk)
            for _ in range(200):
                await accept(store, message="x" * 5000)
                kept += 1
        assert kept > 3
        assert await store.executions.queued_count() == kept
        await store.check()
        ballast.unlink()
        await accept(store)
        assert await store.executions.queued_count() == kept + 1


@pytest.mark.parametrize("when", [1, "1+"])
async def test_an_input_output_error_is_never_followed_by_another_commit(
    file: Path, start_writer: Start, when: int | str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("input/output errors need strace")
    async with await opened(file) as store:
        await accept(store)
    inject = f"inject=fdatasync:error=EIO:when={when}"
    process = start_writer(file, 20, strace, "-f", "-qq", "-o", "/dev/null", "-e", inject)
    assert line(process) == "open"
    said = [line(process)]
    while not said[-1].startswith("check"):
        said.append(line(process))
        assert said[-1], said
    kill(process)
    acknowledged = [ExecutionId(word) for word in said if word.startswith("aex-")]
    assert said[-1] == "check MachineError"
    assert any("cannot be trusted to be on disk" in word for word in said)
    async with await opened(file) as store:
        for id_ in acknowledged:
            await store.executions.get(id_)


async def test_a_store_lies_where_it_is_named_whatever_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "a?b%20c#d é"
    folder.mkdir()
    async with await opened(folder / "stigmer.db") as store:
        await accept(store)
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "stigmer.db").stat().st_size > 0
