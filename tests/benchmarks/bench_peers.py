"""How long Stigmer's commands take, beside those of other products that run work on one's own machine.

The others are installed from PyPI, in their newest versions, into a virtual environment that is deleted at the end.
Each starts in an empty folder, listens on loopback, and is stopped by SIGTERM:

- `prefect server start` without its user interface, from its spawn until `/api/health` answers 200;
- `supervisord` with three programs that sleep, until all of them run;
- a bare Temporal dev server, until its namespace can be described.

What they do is not the same: the stack has Temporal, an HTTP server and a runner, and proves that work can be done.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.benchmarks.bare import time_bare_temporal
from tests.benchmarks.report import Benchmark, Row, interleave, medians, time_call
from tests.support.installed import Stigmer, installed
from tests.support.temporal_server import die_with_parent, free_port

PACKAGES = ("prefect", "supervisor", "dbos")
START_MAX_S, STOP_MAX_S = 120.0, 30.0
LOOK_S = 0.01
COMMAND_ROUNDS, STACK_ROUNDS = 9, 5
VERSION, HELP, UP, DOWN = "`stigmer version`", "`stigmer --help`", "`stigmer up`, a new home", "`stigmer down`"
PREFECT_VERSION, DBOS_HELP = "`prefect --version`", "`dbos --help`"
PREFECT, SUPERVISORD, TEMPORAL = "`prefect server start`", "`supervisord` with three programs", "bare Temporal"
SUPERVISORD_FILE = """
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/supervisor.sock
[program:sleep]
command=/bin/sleep 1000
startsecs=0
numprocs=3
process_name=%(process_num)s
"""
Samples = dict[str, list[float]]


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Stigmer's figures, each beside another's."""
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        programs = _install(root / "venv")
        took = medians(_time_commands(programs, root, 3 if is_quick else COMMAND_ROUNDS))
        samples: Samples = {}
        for number in range(1 if is_quick else STACK_ROUNDS):
            _run_round(programs, root / str(number), samples)
        took |= medians(samples)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return [
        _row(VERSION, took[VERSION], PREFECT_VERSION, took[PREFECT_VERSION], "prefect"),
        _row(HELP, took[HELP], DBOS_HELP, took[DBOS_HELP], "dbos"),
        _row(UP, took[UP], f"{PREFECT}, ready", took[PREFECT], "prefect"),
        _row(UP, took[UP], f"{SUPERVISORD}, running", took[SUPERVISORD], "supervisord"),
        _row(UP, took[UP], f"{TEMPORAL}, namespace described", took[TEMPORAL], "Temporal"),
        _row(DOWN, took[DOWN], f"{PREFECT}, stopped", took[f"{PREFECT} stop"], "prefect"),
        _row(DOWN, took[DOWN], f"{SUPERVISORD}, stopped", took[f"{SUPERVISORD} stop"], "supervisord"),
        _row(DOWN, took[DOWN], f"{TEMPORAL}, stopped", took[f"{TEMPORAL} stop"], "Temporal"),
    ]


def _row(what: str, measured_s: float, reference: str, beside_s: float, rival: str) -> Row:
    return Row(what=what, measured=measured_s, unit="s", reference=reference, beside=beside_s, rival=rival)


def _install(folder: Path) -> Path:
    """A virtual environment with the others; returns the folder of their programs."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", *PACKAGES], check=True)
    return folder / "bin"


def _time_commands(programs: Path, root: Path, rounds: int) -> Mapping[str, Sequence[float]]:
    stigmer = Stigmer(root / "no-home")
    environment = {**os.environ, "PREFECT_HOME": str(root / "prefect"), "DO_NOT_TRACK": "1"}

    def command(argv: Sequence[object], variables: Mapping[str, str]) -> Callable[[], object]:
        return lambda: subprocess.run(
            [str(word) for word in argv], env=dict(variables), capture_output=True, check=True
        )

    cases = {
        VERSION: command([stigmer.command, "version"], stigmer.environment),
        PREFECT_VERSION: command([programs / "prefect", "--version"], environment),
        HELP: command([stigmer.command, "--help"], stigmer.environment),
        DBOS_HELP: command([programs / "dbos", "--help"], environment),
    }
    for warm in cases.values():  # compiles what pip has not
        warm()
    return interleave(cases, rounds)


def _run_round(programs: Path, folder: Path, samples: Samples) -> None:
    folder.mkdir()
    with installed(folder / "home") as stigmer:
        samples.setdefault(UP, []).append(time_call(lambda: stigmer.ok("up")))
        samples.setdefault(DOWN, []).append(time_call(lambda: stigmer.ok("down")))
    _time_temporal(folder, samples)
    port = free_port()
    variables = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "DO_NOT_TRACK": "1"}
    argv = [programs / "prefect", "server", "start", "--no-ui", "--analytics-off", "--port", str(port)]
    health = f"http://127.0.0.1:{port}/api/health"
    _time_process(PREFECT, argv, variables, lambda: _answers(health), samples)
    configuration = folder / "supervisord.conf"
    configuration.write_text(SUPERVISORD_FILE.format(folder=folder))
    argv = [programs / "supervisord", "-c", str(configuration)]
    asked = [programs / "supervisorctl", "-c", str(configuration), "status"]
    _time_process(SUPERVISORD, argv, os.environ, lambda: _count_running(asked) == 3, samples)


def _time_temporal(folder: Path, samples: Samples) -> None:
    start_s, stop_s = time_bare_temporal("--db-filename", str(folder / "temporal.db"))
    samples.setdefault(TEMPORAL, []).append(start_s)
    samples.setdefault(f"{TEMPORAL} stop", []).append(stop_s)


def _time_process(
    name: str, argv: Sequence[object], variables: Mapping[str, str], is_ready: Callable[[], bool], samples: Samples
) -> None:
    """Start it until it is ready, then stop it; note both."""
    begun = time.perf_counter()
    with _running([str(word) for word in argv], variables) as process:
        while not is_ready():
            assert process.poll() is None, f"{name} ended by itself"
            assert time.perf_counter() - begun < START_MAX_S, f"{name} is not ready"
            time.sleep(LOOK_S)
        samples.setdefault(name, []).append(time.perf_counter() - begun)

        def stop() -> None:
            process.terminate()
            process.wait(timeout=STOP_MAX_S)

        samples.setdefault(f"{name} stop", []).append(time_call(stop))


@contextmanager
def _running(argv: Sequence[str], variables: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, killed with its group at the end."""
    process = subprocess.Popen(
        argv,
        env=dict(variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def _count_running(asked: Sequence[object]) -> int:
    done = subprocess.run([str(word) for word in asked], capture_output=True, text=True, check=False)
    return done.stdout.count("RUNNING")


BENCHMARK = Benchmark(
    name="peers",
    about="How long commands, starts and stops take, beside other products that run work on one's own machine.",
    run=run,
)
