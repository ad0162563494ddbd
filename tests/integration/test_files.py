"""Files that are there whole or not at all, seen by others at every moment and cut off at every line."""

import asyncio
import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import tomlkit

from stigmer_cli.cli.chat.history import ChatHistory
from stigmer_cli.cli.config import write as config
from stigmer_cli.clock import SystemClock
from stigmer_cli.credential import KeptToken, ensure_token, read_token, rotate_token
from stigmer_cli.errors import MachineError
from stigmer_cli.files import (
    DRAFT_SUFFIX,
    OWNER_ONLY,
    create_atomically,
    drafted,
    remove_leftovers,
    write_atomically,
)
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import Ended, down, purge
from stigmer_cli.stack.home import prepare_home, purge_home

ALL = """
import os, signal, sys
from pathlib import Path
from stigmer_cli.files import OWNER_ONLY, create_atomically, write_atomically

act, path, lines = {"write": write_atomically, "create": create_atomically}[sys.argv[1]], Path(sys.argv[2]), []

def write(last):
    seen = 0
    def look(frame, event, _):
        nonlocal seen
        if not frame.f_code.co_filename.endswith("files.py"):
            return None
        seen += event == "line"
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return look
    sys.settrace(look)
    act(path, b"new", OWNER_ONLY)
    sys.settrace(None)
    os._exit(0)

for last in range(1, 10_000):
    if sys.argv[1] == "write":
        path.write_bytes(b"old")
    else:
        path.unlink(missing_ok=True)
    child = os.fork() or write(last)
    status = os.waitpid(child, 0)[1]
    drafts = len(list(path.parent.iterdir())) - path.exists()
    print(os.WIFSIGNALED(status), path.read_text() if path.exists() else None, drafts)
    if not os.WIFSIGNALED(status):
        break
"""
"""Kills the writer at the first line of its module, then at its second, and so on until it ends by itself."""


WRITES = ("stigmer_cli", "pathlib", "shutil")
"""What may write a file, by the path of its source."""


def _drafts(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(DRAFT_SUFFIX)]


def _write_config(home: Home) -> None:
    document = tomlkit.document()
    document["token"] = "a-secret"
    config._write(home.config_file, document)


WRITERS: dict[str, Callable[[Home], object]] = {
    "a new token": ensure_token,
    "a rotated token": rotate_token,
    "a token in config.toml": _write_config,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_secret_is_never_readable_by_others_at_any_line_even_without_a_umask(home: Home, name: str) -> None:
    opened: list[str] = []
    files_seen: set[str] = set()

    def look(frame: FrameType, _event: str, _: object) -> Any:
        if not any(one in frame.f_code.co_filename for one in WRITES):
            return None
        for path in home.path.iterdir():
            files_seen.add(path.name)
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode & 0o077:
                opened.append(f"{path.name} {mode:o}")
        return look

    before, traced = os.umask(0), sys.gettrace()
    try:
        sys.settrace(look)
        WRITERS[name](home)
    finally:
        sys.settrace(traced)
        os.umask(before)
    assert opened == []
    assert any(one.endswith(DRAFT_SUFFIX) for one in files_seen), "the draft was seen while it was there"
    assert _drafts(home.path) == []


@pytest.mark.parametrize(("act", "before"), [("write", "old"), ("create", "None")])
def test_a_writer_that_is_killed_at_any_line_leaves_the_old_file_or_the_whole_new_one(
    tmp_path: Path, act: str, before: str
) -> None:
    path = tmp_path / "record"
    done = subprocess.run(
        [sys.executable, "-c", ALL, act, str(path)], capture_output=True, text=True, timeout=100, check=True
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    *killed, last = rows
    assert last == ["False", "new", "0"]
    assert {content for _, content, _ in killed} == {before, "new"}
    assert any(drafts == "1" for _, _, drafts in killed), "some were killed while their draft was there"
    assert all(int(drafts) <= 1 for _, _, drafts in killed), "each write removes what the one before left"


def test_a_draft_whose_writer_lives_is_no_leftover(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with drafted(path, OWNER_ONLY) as draft:
        write_atomically(tmp_path / "other", b"", OWNER_ONLY)
        assert draft.exists()
        draft.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"


def test_a_block_that_raises_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"old")

    def fill_and_fail() -> None:
        with drafted(path, OWNER_ONLY) as draft:
            draft.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        fill_and_fail()
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_many_writers_at_once_end_with_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "record"
    program = (
        "import sys; from pathlib import Path; from stigmer_cli.files import *\n"
        "for _ in range(100): write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 5000, 0o600, is_durable=False)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), letter]) for letter in "abcd"]
    seen = set()
    while any(one.poll() is None for one in writers):
        if path.exists():
            seen.add(path.read_bytes())
    assert [one.returncode for one in writers] == [0, 0, 0, 0]
    assert seen | {path.read_bytes()} <= {letter.encode() * 5000 for letter in "abcd"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"theirs")
    link.symlink_to(real)
    write_atomically(link, b"ours", OWNER_ONLY)
    assert (real.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"theirs", b"ours", False)


@pytest.mark.parametrize("is_link", [False, True])
def test_create_never_takes_the_place_of_another_file(tmp_path: Path, *, is_link: bool) -> None:
    path = tmp_path / "record"
    path.symlink_to(tmp_path / "nowhere") if is_link else path.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        create_atomically(path, b"ours", OWNER_ONLY)
    assert list(tmp_path.iterdir()) == [path]
    assert path.is_symlink() or path.read_bytes() == b"theirs"


@pytest.mark.parametrize("write", [write_atomically, create_atomically])
def test_a_folder_that_takes_no_file_is_refused_as_the_system_says_it(
    write: Callable[[Path, bytes, int], None],
) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        write(Path("/proc/record"), b"new", OWNER_ONLY)


def test_a_long_name_has_a_draft_too(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_atomically(path, b"new", OWNER_ONLY)
    assert path.read_bytes() == b"new"


def test_purge_leaves_no_draft_of_the_token(home: Home) -> None:
    ensure_token(home)
    (home.path / f".token.0{DRAFT_SUFFIX}").write_text("a-secret")
    purge_home(home)
    assert list(home.path.iterdir()) == []


def test_what_is_nobodys_draft_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / ".token.draft"
    mine.write_text(json.dumps({}))
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "nowhere")
    assert mine.exists()


def test_an_emptied_token_is_made_again(home: Home) -> None:
    home.token_file.write_text("\n")
    assert ensure_token(home) == read_token(home)


def test_a_kept_token_is_made_if_it_is_gone_and_read_again_if_it_has_changed(home: Home) -> None:
    kept = KeptToken(home)
    first = kept()
    assert first == read_token(home)
    assert kept() == first
    assert rotate_token(home) == kept() != first
    home.token_file.unlink()
    assert kept() == read_token(home) is not None
    home.token_file.write_text("\n")
    assert kept() == read_token(home) is not None


def test_a_kept_token_does_not_bring_a_removed_home_back(home: Home) -> None:
    kept = KeptToken(home)
    assert kept()
    shutil.rmtree(home.path)
    assert kept() is None
    assert not home.path.exists()


def test_a_purge_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    """STIGMER_HOME may be set to the folder of a project, which has a `data` of its own."""
    foreign = Home(path=tmp_path / "project")
    for folder in (foreign.data, foreign.logs, foreign.run):
        folder.mkdir(parents=True)
        (folder / "mine").touch()
    with pytest.raises(MachineError, match=f"{foreign.data} is there, and not from Stigmer") as caught:
        prepare_home(foreign)
    assert caught.value.hint == f"export STIGMER_HOME={foreign.path}/.stigmer"
    assert asyncio.run(purge(foreign, clock=SystemClock())) == Ended()
    assert asyncio.run(down(foreign, clock=SystemClock())) == Ended()
    assert sorted(path.name for path in foreign.path.rglob("*")) == ["data", "logs", "mine", "mine", "mine", "run"]


def test_a_purge_deletes_what_was_said_and_keeps_the_key_of_secrets(home: Home) -> None:
    prepare_home(home)
    ChatHistory(home.path).append("what nobody else shall read")
    for path in (home.secrets_key_file, home.config_file, home.data / "stigmer.db"):
        path.touch()
    purge_home(home)
    assert sorted(path.name for path in home.path.iterdir()) == ["config.toml", "home.json", "secrets.key"]


@pytest.mark.parametrize("name", ["data", "logs", "run"])
def test_a_purge_deletes_what_is_ours_behind_a_link_and_keeps_the_link(home: Home, tmp_path: Path, name: str) -> None:
    """As of a folder on a larger disk: it said "deleted", and everything was there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (home.path / name).symlink_to(disk)
    prepare_home(home)
    ours = {"data": "stigmer.db-wal", "logs": "runner.log.1", "run": "runner-17.json"}[name]
    (disk / ours).touch()
    (disk / "mine").touch()
    assert disk / ours in purge_home(home)
    assert ((home.path / name).is_symlink(), [path.name for path in disk.iterdir()]) == (True, ["mine"])


def test_a_purge_behind_a_link_deletes_no_backups_and_no_certificate_of_somebody_else(
    home: Home, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    (disk / "backups").mkdir(parents=True)
    prepare_home(home)
    shutil.rmtree(home.data)
    home.data.symlink_to(disk)
    copies = ("backups/stigmer-0001-20260101T000000Z.db", "backups/temporal.db.1.2.3-wal")
    for name in (*copies, "stigmer.db", "backups/photos.tar", "server.key"):
        (disk / name).touch()
    purge_home(home)
    assert sorted(str(path.relative_to(disk)) for path in disk.rglob("*")) == [
        "backups",
        "backups/photos.tar",
        "server.key",
    ]


@pytest.mark.skipif(not (shutil.which("unshare") and os.geteuid() == 0), reason="needs root and unshare(1)")
def test_a_purge_empties_a_folder_that_is_a_mount_point(home: Home, tmp_path: Path) -> None:
    """As a volume of a container: the folder itself cannot go, and was the reason for the rest to stay."""
    prepare_home(home)
    purge = "import sys; from stigmer_cli.stack.home import *; print(*purge_home(Home(path=Path(sys.argv[1]))))"
    elsewhere = tmp_path / "backups" / "theirs"
    elsewhere.mkdir(parents=True)
    mounted = (
        'mount -t tmpfs -o mode=700 none "$1/data" && mkdir "$1/data/backups" "$1/data/lost+found"'
        ' && ln -s "$2" "$1/data/link" && "$3" -c "$4" "$1" && ls "$1/data"'
    )
    done = subprocess.run(
        [*("unshare", "--mount", "sh", "-c", mounted, "sh"), home.path, tmp_path, sys.executable, purge],
        capture_output=True,
        text=True,
        check=False,
    )
    deleted = (home.data / "*", home.logs, home.run)
    assert (done.stdout.split(), done.stderr) == ([*(str(path) for path in deleted), "lost+found"], "")
    assert elsewhere.is_dir(), "behind a link in it"


@pytest.mark.parametrize("name", ["data", "."])
def test_a_link_that_leads_nowhere_is_named_as_that(tmp_path: Path, name: str) -> None:
    """As to a disk that is not mounted: mkdir(2) says that the file exists, and the way out moved the folder above."""
    home, away = Home(path=tmp_path / "home"), tmp_path / "my disk"
    if name == "data":
        home.path.mkdir(mode=0o700)
    (home.path / name).symlink_to(away)
    with pytest.raises(MachineError, match=f"{home.path / name} is a link to {away}, which is not there") as caught:
        prepare_home(home)
    assert caught.value.hint == f"mkdir -p '{away}'"


def test_a_link_that_leads_back_to_itself_is_named_as_that(home: Home) -> None:
    home.data.symlink_to(home.data)
    with pytest.raises(MachineError, match=f"{home.data} is a link that leads back to itself") as caught:
        prepare_home(home)
    assert caught.value.hint == f"rm {home.data}"
