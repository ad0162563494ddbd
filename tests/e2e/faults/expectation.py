"""Runs `stigmer doctor` before an injected fault, holds its answer against the row, and tries the fix that it names."""

import json
import re
import subprocess
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are not installed

from tests.e2e.faults.fault import Mends, Row
from tests.e2e.faults.harness import HINT_MAX_S, Harness
from tests.support.machine_load import slack

SCHEMA = json.loads((files("stigmer_cli.doctor") / "schema.json").read_text())
ENDS_IN_S = 3.0
"""Whatever the fault: the promise of `stigmer doctor`, from its start to its exit."""

LOOKS_MIN = 3
BUSY_MAX_S = 40.0
"""A machine that has more to do than it can starves doctor's deadlines too; then it says what it could not judge."""

RUN_LIKE = (
    (r"\bpid \d+", "pid N"),
    (r"\(attempt \d+\)", "(attempt N)"),
    (r"stigmer-runner/\d+@[^) ]+", "RUNNER"),
    (r"kill -CONT \d+", "kill -CONT N"),
    (r"\bkill \d+", "kill N"),
    (r"\bstr-[0-9a-z]{26}\b", "str-ID"),
    (r"\b[a-z]{3}-[0-9a-z]{26}\b", "aex-ID"),
    (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"the oldest (?:\d+\w ?)+ old", "the oldest N old"),
    (r"restarted \d+ times?", "restarted N times"),
    (r"damaged-\d+-\d+", "damaged-TIME"),
    (r"Page \d+", "Page N"),
    (r"its last line: \{.*?(?=; each time|$)", "its last line: LINE"),
    (r"\d[\d.]* [KMG]?i?B free", "N KiB free"),
    (r"(held by pid N) \(.*?\)(?=;|$)", r"\1 (COMMAND)"),
    (r"[^ ]*/bin/temporal\b", "temporal"),
    (r"[^ ]*/bin/python\b", "PYTHON"),
    (r"\btemporal at 127\.0\.0\.1:\d+", "temporal at 127.0.0.1:PORT"),
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What doctor said: tamed, but for `hint`, which is to be pasted."""

    code: str
    verdict: str
    fix: str
    hint: str
    exit_code: int
    took_s: float


def judged(row: Row, harness: Harness) -> Told:
    """What doctor says before the fault of `row`; fails where `row` expects another thing, or the fix does not work."""
    with row.inject(harness):
        told = _told(row, harness)
        if row.mends in (Mends.PASTED, Mends.SHOWS):
            harness.paste(told.hint)
        if row.mends is Mends.PASTED:
            healthy_again(harness)
        waiting = _begun(harness, told.hint) if row.mends is Mends.WAITS else None
    if waiting is not None:
        said, _ = waiting.communicate(timeout=HINT_MAX_S)
        assert waiting.returncode == 0, said
    elif row.mends in (Mends.SHOWS, Mends.OTHER_MACHINE):
        healthy_again(harness)
    return told


def _told(row: Row, harness: Harness) -> Told:
    """What doctor says; where the machine is busy it may be out of breath, and is asked again."""
    deadline, looks = time.monotonic() + BUSY_MAX_S, 1
    told = diagnosed(harness)
    while _wrong(row, told) and (looks < LOOKS_MIN or slack() > 1.0) and time.monotonic() < deadline:
        told, looks = diagnosed(harness), looks + 1
    assert not _wrong(row, told), "\n".join(_wrong(row, told))
    return told


def _wrong(row: Row, told: Told) -> list[str]:
    late = [f"after {told.took_s:.2f} s"] if told.took_s > ENDS_IN_S * slack() else []
    names = ("exit_code", "code", "verdict", "fix")
    pairs = [(name, getattr(told, name), getattr(row, name)) for name in names]
    return [f"{name}: {found!r}, not {expected!r}" for name, found, expected in pairs if found != expected] + late


def diagnosed(harness: Harness) -> Told:
    """One diagnosis; its report holds to its schema, and nothing else is on standard output."""
    began = time.monotonic()
    done = harness.stigmer("doctor", "-o", "json")
    took_s = time.monotonic() - began
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    verdict: dict[str, Any] = found["verdict"]
    return Told(
        code=verdict["code"] or "",
        verdict=tame(verdict["message"], harness),
        fix=tame(verdict["hint"], harness),
        hint=verdict["hint"],
        exit_code=done.returncode,
        took_s=took_s,
    )


def healthy_again(harness: Harness) -> None:
    """Return once doctor finds nothing that failed."""
    done = harness.stigmer("doctor", "--wait=30")
    assert done.returncode == 0, done.stdout + done.stderr


def tame(text: str, harness: Harness) -> str:
    """`text` without what differs from run to run: places, ports, pids, ids and times."""
    environment = harness.stigmer.environment
    places = {str(harness.home): "~/.stigmer"}
    if harness.gate is not None:
        places[harness.gate.address] = "temporal.example:7233"
    ports = {"STIGMER_SERVER_PORT": "7234", "STIGMER_TEMPORAL_PORT": "7233", "STIGMER_UI_PORT": "8233"}
    places |= {environment[name]: port for name, port in ports.items()}
    for place, name in places.items():
        text = text.replace(place, name)
    for pattern, name in RUN_LIKE:
        text = re.sub(pattern, name, text)
    return text


def _begun(harness: Harness, hint: str) -> "subprocess.Popen[str]":
    """`hint`, under way and waiting."""
    process = subprocess.Popen(
        ["bash", "-c", hint],
        env=harness.shell_environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("not healthy")
    return process
