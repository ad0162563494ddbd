"""A home that somebody else owns, or can write in: refused before anything in it counts, and put right by what is told.

Real owners need root, as the gate has it; without it these tests are left out, visibly.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Home
from stigmer_cli.stack.home import prepare_home
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until

SOMEBODY = 12345
"""A user that no system has."""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="files of two owners need root"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="another user needs setpriv (util-linux)"),
]
AS_SOMEBODY = (
    "setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups",
    # so that it can read the interpreter, which may lie in root's own folder
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip
WITHOUT_POWERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""root as any user: what is shut is shut."""


@pytest.fixture
def stigmer(tmp_path: Path) -> Iterator[Stigmer]:
    tmp_path.chmod(0o755)
    with installed(tmp_path / "home") as found:
        yield found


def run(stigmer: Stigmer, *arguments: str, by: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """What `stigmer ARGUMENTS` says, run by means of `by`."""
    return subprocess.run(
        [*by, stigmer.command, *arguments],
        env={**stigmer.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def first_finding(stigmer: Stigmer, by: Sequence[str] = ()) -> tuple[str, str]:
    """The first line of doctor and the command below it."""
    lines = run(stigmer, "doctor", by=by).stdout.splitlines()
    return lines[0], lines[1].strip().removeprefix("fix: ")


def pasted(stigmer: Stigmer, command: str) -> None:
    """Carry out what was told; this test is root already."""
    folder = str(Path(stigmer.command).parent)
    environment = {**stigmer.environment, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command.replace("sudo ", "")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"


def planted(stigmer: Stigmer, name: str, text: str) -> Path:
    """A file of somebody else's in the home."""
    file = stigmer.home / name
    file.write_text(text)
    os.chown(file, SOMEBODY, SOMEBODY)
    return file


@pytest.mark.parametrize(
    "command",
    [
        ("up",),
        ("restart",),
        ("serve",),
        ("work",),
        ("run", "greeter", "hello"),
        ("agents", "list"),
        ("executions", "list"),
        ("config", "set", "server_port", "7777"),
        ("config", "rotate-token"),
    ],
)
def test_a_home_that_others_can_write_in_is_refused_by_what_would_use_it(
    command: tuple[str, ...], stigmer: Stigmer
) -> None:
    stigmer.home.chmod(0o777)
    before = sorted(stigmer.home.iterdir())
    done = run(stigmer, *command)
    assert (done.returncode, f"hint: chmod go-w {stigmer.home}" in done.stderr) == (1, True), done.stderr
    assert f"others can write in {stigmer.home} (mode 0777)" in done.stderr
    assert sorted(stigmer.home.iterdir()) == before


@pytest.mark.parametrize("command", [("status",), ("logs",), ("config", "path"), ("config", "list"), ("version",)])
def test_what_only_looks_goes_on_and_takes_nothing_from_there(command: tuple[str, ...], stigmer: Stigmer) -> None:
    planted(stigmer, "config.toml", "server_port = 4321\n")
    stigmer.environment.pop("STIGMER_SERVER_PORT")
    (stigmer.home / "logs").mkdir()
    (stigmer.home / "logs" / "server.log").write_text("{}\n")
    done = run(stigmer, *command)
    assert "4321" not in done.stdout
    assert "error:" not in done.stderr
    assert command == ("version",) or f"belongs to uid {SOMEBODY}" in done.stderr


def test_the_program_that_a_planted_configuration_names_is_never_run(stigmer: Stigmer, tmp_path: Path) -> None:
    program, ran = tmp_path / "planted", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    stigmer.home.chmod(0o777)
    planted(stigmer, "config.toml", f'temporal_binary = "{program}"\n')
    assert run(stigmer, "up").returncode == 1

    verdict, fix = first_finding(stigmer)
    assert verdict.startswith(f"not healthy: others can write in {stigmer.home} (mode 0777)")
    pasted(stigmer, fix)
    assert run(stigmer, "up").returncode == 1

    verdict, fix = first_finding(stigmer)
    assert verdict == (
        f"not healthy: config.toml in {stigmer.home} belongs to uid {SOMEBODY}, and you are root; read config.toml"
        " before you take it over (STG506)"
    )
    pasted(stigmer, fix)
    assert first_finding(stigmer)[0].endswith("(STG104)"), "nothing is wrong any more but that no stack runs"
    assert not ran.exists()


def test_a_planted_token_is_not_kept(stigmer: Stigmer) -> None:
    token = planted(stigmer, "token", "planted-token-that-somebody-knows\n")
    done = run(stigmer, "up")
    assert (done.returncode, f"belongs to uid {SOMEBODY}" in done.stderr) == (1, True)
    pasted(stigmer, first_finding(stigmer)[1])
    assert "planted" not in token.read_text()
    assert token.stat().st_uid == 0


def test_root_does_not_work_in_somebody_elses_home(stigmer: Stigmer) -> None:
    os.chown(stigmer.home, SOMEBODY, SOMEBODY)
    done = run(stigmer, "up")
    assert done.returncode == 1
    assert f"{stigmer.home} belongs to uid {SOMEBODY}, and you are root" in done.stderr
    assert f"hint: sudo -H -u '#{SOMEBODY}' stigmer up" in done.stderr
    assert run(stigmer, "down").returncode == 1, "root would end whatever process its owner wrote down"


def test_sudo_creates_no_home_of_root_among_the_users_files(stigmer: Stigmer, tmp_path: Path) -> None:
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    stigmer.home.rmdir()
    stigmer.environment |= {"SUDO_UID": str(SOMEBODY)}
    done = run(stigmer, "up")
    assert (done.returncode, "would belong to root" in done.stderr) == (1, True), done.stderr
    assert not stigmer.home.exists()


def test_what_sudo_left_behind_is_named_first_and_given_back(stigmer: Stigmer) -> None:
    os.chown(stigmer.home, SOMEBODY, SOMEBODY)
    for name in ("data", "logs", "run"):
        (stigmer.home / name).mkdir(mode=0o700)
    (stigmer.home / "token").write_text("t\n")
    done = run(stigmer, "up", by=AS_SOMEBODY)
    assert done.returncode == 1
    assert f"data, logs, run and 1 more in {stigmer.home} belong to root (uid 0), not to you" in done.stderr

    verdict, fix = first_finding(stigmer, AS_SOMEBODY)
    assert verdict.endswith("(STG506)")
    pasted(stigmer, fix.partition(" && ")[0])
    assert first_finding(stigmer, AS_SOMEBODY)[0].endswith("(STG104)")


@pytest.mark.parametrize("name", ["token", "config.toml", "data", "."])
def test_what_is_ours_and_shut_is_named_with_what_opens_it(name: str, stigmer: Stigmer) -> None:
    file = stigmer.home / name
    if name == "data":
        file.mkdir()
    elif name != ".":
        file.write_text("")
    file.chmod(0o000)
    done = run(stigmer, "up", by=WITHOUT_POWERS)
    assert (done.returncode, "you cannot read" in done.stderr) == (1, True), done.stderr
    verdict, fix = first_finding(stigmer, WITHOUT_POWERS)
    assert verdict.endswith("(STG508)")
    pasted(stigmer, fix)
    assert first_finding(stigmer, WITHOUT_POWERS)[0].endswith("(STG104)")


@pytest.mark.slow
def test_a_stack_on_a_file_system_that_became_read_only_is_reported_and_stopped(stigmer: Stigmer) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512m,mode=0700", "none", str(stigmer.home)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a file system to turn read-only needs the right to mount one")
    try:
        stigmer.ok("up")
        pids = stigmer.pids()
        _remount_read_only(stigmer.home)
        verdict, fix = first_finding(stigmer)
        assert verdict == f"not healthy: the home cannot be written: {stigmer.home}: Read-only file system (STG509)"
        assert fix == f"sudo mount -o remount,rw {stigmer.home}"
        with pytest.raises(MachineError, match="Read-only file system") as refused:
            prepare_home(Home(path=stigmer.home))
        assert refused.value.hint == fix
        done = stigmer("down")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids.values()), within_s=5)
        pasted(stigmer, fix)
        stigmer.ok("up")
        stigmer.ok("down")
    finally:
        stigmer("down")
        while stigmer.home.is_mount():
            subprocess.run(["umount", "-l", str(stigmer.home)], check=True)


def _remount_read_only(home: Path) -> None:
    """As far as names in the home go, which is what commands see; what is open already stays so."""
    subprocess.run(["mount", "--bind", str(home), str(home)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(home)], check=True)


def test_a_log_that_another_user_has_written_is_a_sentence(stigmer: Stigmer) -> None:
    (stigmer.home / "logs").mkdir(mode=0o700)
    planted(stigmer, "logs/server.log", "{}\n").chmod(0o600)
    done = run(stigmer, "logs", by=WITHOUT_POWERS)
    assert done.returncode == 1, done.stderr
    assert f"error: cannot read {stigmer.home}/logs/server.log: Permission denied" in done.stderr
    assert "hint: stigmer doctor" in done.stderr


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder in a folder of somebody else, which is closed to all others."""
    (tmp_path / "closed").mkdir(mode=0o700)
    os.chown(tmp_path / "closed", SOMEBODY, SOMEBODY)
    (tmp_path / "closed" / "inside").mkdir()
    return tmp_path / "closed" / "inside"


def test_a_working_directory_that_is_closed_to_who_i_am_now_is_no_obstacle(
    stigmer: Stigmer, tmp_path: Path, closed: Path
) -> None:
    """As after `sudo -u` or `su`, which stay in the directory of who typed it."""
    del stigmer.environment["STIGMER_HOME"]
    stigmer.environment["HOME"] = str(tmp_path)
    done = run(stigmer, "status", by=("env", f"--chdir={closed}", *WITHOUT_POWERS))
    assert (done.returncode, done.stdout.splitlines()[0]) == (3, "stack: stopped"), done.stderr


@pytest.mark.parametrize("command", [("up",), ("status",), ("down",), ("logs",), ("executions", "list"), ("doctor",)])
def test_a_home_in_a_closed_folder_is_a_sentence_with_a_way_out(
    command: tuple[str, ...], stigmer: Stigmer, closed: Path
) -> None:
    """As for who keeps HOME when becoming another user."""
    stigmer.environment["STIGMER_HOME"] = str(closed / "home")
    done = run(stigmer, *command, by=WITHOUT_POWERS)
    assert done.returncode == 2, done.stderr
    assert f"error: cannot use {closed / 'home'}: {closed.parent} is closed to you (uid 0)" in done.stderr
    assert "hint: export STIGMER_HOME=DIRECTORY" in done.stderr
