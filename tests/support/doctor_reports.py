"""`stigmer doctor` as the end-to-end tests ask it, its reports, and a port that does not serve."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are not installed

from tests.support.installed import Stigmer
from tests.support.machine_load import slack
from tests.support.polling import wait_until

SCHEMA = json.loads((files("stigmer_cli.doctor") / "schema.json").read_text())
ENDS_IN_S = 8.0
SECOND_LOOKS_S = 15.0
"""Three seconds on a quiet machine; this one runs other tests beside."""

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""An empty SETTINGS frame, with which an HTTP/2 server begins (RFC 9113, 3.4)."""

Report = dict[str, Any]


def diagnose(
    stigmer: Stigmer, *arguments: str, verdict: str | None = None, holds: Callable[[int, Report], bool] | None = None
) -> tuple[int, Report]:
    """Exit code and report; doctor is asked again for up to 15 s while the verdict has another code than `verdict`.

    It is also asked again where `holds`, the rest of what the test expects, is false: a machine that runs other tests
    may be too slow for one report, and doctor then says so.
    """

    def is_expected(code: int, found: Report) -> bool:
        return verdict in (None, found["verdict"]["code"]) and (holds is None or holds(code, found))

    deadline = time.monotonic() + SECOND_LOOKS_S
    code, found = run_doctor(stigmer, *arguments)
    while not is_expected(code, found) and time.monotonic() < deadline:
        code, found = run_doctor(stigmer, *arguments)
    return code, found


def await_page(stigmer: Stigmer, *words: str) -> str:
    """The first page of doctor that holds all of `words`."""
    pages: list[str] = []

    def has_all_words() -> bool:
        pages.append(stigmer("doctor").stdout)
        return all(word in pages[-1] for word in words)

    wait_until(has_all_words)
    return pages[-1]


def run_doctor(stigmer: Stigmer, *arguments: str) -> tuple[int, Report]:
    """One report, which matches its schema; nothing else is on standard output."""
    began = time.monotonic()
    done = stigmer("doctor", "-o", "json", *arguments)
    took_s = time.monotonic() - began
    assert took_s < ENDS_IN_S * slack(), done.stdout
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert isinstance(found, dict)
    assert (done.returncode == 0) is found["ok"], done.stdout
    return done.returncode, found


def results_of(found: Report) -> dict[str, str]:
    return {one["code"]: one["result"] for one in found["checks"]}


def verdict_of(found: Report) -> tuple[str, str, str]:
    verdict = found["verdict"]
    return verdict["code"], verdict["message"], verdict["hint"]


def wait_until_healthy(stigmer: Stigmer) -> None:
    assert stigmer("doctor", "--wait=30").returncode == 0


@contextmanager
def silent_port(greeting: bytes) -> Iterator[int]:
    """A port that sends `greeting` to each client that connects, and then nothing."""
    met = []

    def greet(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                met.append(listener.accept()[0])
                met[-1].sendall(greeting)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=greet, args=(listener,))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)
            for one in met:
                one.close()
