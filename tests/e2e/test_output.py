"""What becomes of a command whose output has nowhere to go."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.installed import Stigmer

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("output", ["table", "json"])
def test_on_a_full_disk_the_output_is_not_taken_for_whole(tmp_path: Path, output: str) -> None:
    stigmer = Stigmer(tmp_path / "home")
    with FULL.open("w") as full:
        done = subprocess.run(
            [stigmer.command, "config", "list", "-o", output],
            env=stigmer.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: the output could not be written: No space left on device\nhint: df -h\n"


@pytest.mark.parametrize("output", ["table", "json"])
def test_an_output_that_is_open_for_reading_only_is_named(tmp_path: Path, output: str) -> None:
    stigmer = Stigmer(tmp_path / "home")
    done = subprocess.run(
        ["sh", "-c", '"$0" config list -o "$1" 1</dev/null', stigmer.command, output],
        env=stigmer.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told = "error: the output could not be written: Bad file descriptor\nhint: open standard output for writing\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize("arguments", [("config", "list", "-o", "json"), ("help", "stack"), ("executions", "--help")])
def test_a_slow_reader_gets_all_of_it_from_an_output_that_does_not_wait(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    stigmer = Stigmer(tmp_path / "home")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += os.write(writer, b".")
    with subprocess.Popen([stigmer.command, *arguments], env=stigmer.environment, stdout=writer) as process:
        os.close(writer)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()[filled:]
        assert process.wait(30) == 0
    assert said.decode() == stigmer.ok(*arguments)


def test_a_reader_that_leaves_ends_it_without_a_word(tmp_path: Path) -> None:
    stigmer = Stigmer(tmp_path / "home")
    done = subprocess.run(
        ["sh", "-c", '"$0" doctor --list-checks | head -n 1', stigmer.command],
        env=stigmer.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("CODE")
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", ["status -w", "status -w -o json", "logs -f --tail 1"])
def test_a_reader_that_leaves_ends_what_waits_for_the_next_line(tmp_path: Path, arguments: str) -> None:
    """Nothing more is written, so that no write tells it: the next change of a stack may be days away."""
    stigmer = Stigmer(tmp_path / "home")
    logs = tmp_path / "home" / "logs"
    logs.mkdir(parents=True)
    (logs / "supervisor.log").write_text("begun\n")
    with subprocess.Popen(
        [stigmer.command, *arguments.split()], env=stigmer.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        try:
            code = process.wait(10)
        finally:
            process.kill()
        assert process.stderr is not None
        assert (code, process.stderr.read()) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(("value", "is_coloured"), [("1", True), ("0", False), ("False", False), ("", False)])
def test_a_forced_colour_of_zero_is_none(tmp_path: Path, value: str, *, is_coloured: bool) -> None:
    stigmer = Stigmer(tmp_path / "home", {"FORCE_COLOR": value, "TERM": "xterm-256color"})
    assert ("\x1b[" in stigmer("status").stdout) is is_coloured


@pytest.mark.parametrize(
    ("closed", "arguments", "expected"),
    [
        ("<&-", "down --purge", (2, "", "error: cannot ask before deleting the data: there is no terminal")),
        (">&-", "version", (0, "", "")),
        ("2>&-", "status", (3, "stack: stopped", "")),
        ("<&- >&- 2>&-", "config set server_port many", (2, "", "")),
    ],
)
def test_a_standard_stream_that_is_closed_ends_no_command(
    tmp_path: Path, closed: str, arguments: str, expected: tuple[int, str, str]
) -> None:
    stigmer = Stigmer(tmp_path / "home")
    done = subprocess.run(
        ["sh", "-c", f'"$0" {arguments} {closed}', stigmer.command],
        env=stigmer.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    first = [text.partition("\n")[0] for text in (done.stdout, done.stderr)]
    assert (done.returncode, *first) == expected


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("\n", 1), ("", 130)])
def test_a_refused_purge_says_that_nothing_was_done(tmp_path: Path, answer: str, code: int) -> None:
    stigmer = Stigmer(tmp_path / "home")
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [stigmer.command, "down", "--purge"],
        env=stigmer.environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as asked:
        os.close(theirs)
        said = b""
        while b"[y/N]:" not in said:
            said += os.read(ours, 4096)
        if answer:
            os.write(ours, answer.encode())
        else:
            asked.send_signal(signal.SIGINT)
        with suppress(OSError):  # the end of a terminal, as Linux tells it
            while more := os.read(ours, 4096):
                said += more
        assert asked.wait(30) == code
    os.close(ours)
    lines = said.decode().replace("\r", "").splitlines()
    assert lines[1] == "nothing was stopped, and nothing deleted"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("status", 128 + signal.SIGPIPE, ""),
        ("--help", 128 + signal.SIGPIPE, ""),
        ("executions list", 3, "error: no stack was ever started"),
        ("executions list -o json", 3, "error: no stack was ever started"),
    ],
)
def test_a_reader_that_has_left_is_no_failure_and_hides_none(
    arguments: str, code: int, told: str, tmp_path: Path
) -> None:
    stigmer = Stigmer(tmp_path / "home")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [stigmer.command, *arguments.split()],
        env=stigmer.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr.startswith(told), "Traceback" in done.stderr) == (code, True, False), (
        done.stderr
    )


@pytest.mark.parametrize("arguments", [("executions", "resume", "--help"), ("doctor", "explain", "STG101")])
def test_python_without_docstrings_has_the_same_help(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    stigmer = Stigmer(tmp_path / "home")
    whole = stigmer.ok(*arguments)
    assert Stigmer(tmp_path / "home", {"PYTHONOPTIMIZE": "2"}).ok(*arguments) == whole


def test_a_key_log_that_cannot_be_written_is_left_out_and_told(tmp_path: Path) -> None:
    """`ssl` opens it for every context, so that no command could talk to a server over HTTPS."""
    key_log = tmp_path / "nowhere" / "keys"
    server = {"STIGMER_SERVER_URL": "https://127.0.0.1:9", "STIGMER_TOKEN": "x"}
    done = Stigmer(tmp_path / "home", {**server, "SSLKEYLOGFILE": str(key_log)})("agents", "list")
    assert done.returncode == 4, done.stderr
    assert done.stderr.splitlines()[0] == (
        f"warning: SSLKEYLOGFILE is left out: {key_log} cannot be written: No such file or directory"
    )
    assert "Traceback" not in done.stderr


def test_a_umask_takes_nothing_from_the_owner(tmp_path: Path) -> None:
    stigmer = Stigmer(tmp_path / "home")
    done = subprocess.run(
        ["sh", "-c", 'umask 0777; "$0" config set log_level debug', stigmer.command],
        env=stigmer.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert stigmer.ok("config", "get", "log_level") == "debug\n"
    assert (tmp_path / "home" / "config.toml").stat().st_mode & 0o777 == 0o600


def test_a_number_of_threads_that_would_end_the_native_side_is_left_out_and_told(tmp_path: Path) -> None:
    done = Stigmer(tmp_path / "home", {"TOKIO_WORKER_THREADS": "0"})("status")
    assert done.stderr == "warning: TOKIO_WORKER_THREADS is left out: '0' is no number of threads\n"
