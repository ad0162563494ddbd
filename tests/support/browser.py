"""A real Chromium, driven over the W3C WebDriver protocol by plain HTTP; skips loudly where none is installed."""

import base64
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.temporal_server import die_with_parent, free_port, kill_group

STARTED_MAX_S = 30.0
CALL_MAX_S = 60.0
LOAD_MAX_S = 4.0
REFUSED = 400
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
)


class Browser:
    """One session: navigate, run scripts, look."""

    def __init__(self, http: httpx.Client, session: str) -> None:
        self._http, self._path = http, f"/session/{session}"

    def go(self, url: str) -> None:
        """Navigate; raises where the browser shows an error page of its own."""
        self._ask("url", url=url)

    def read(self, url: str) -> str:
        """What a navigation to `url` shows of a page; empty where it is refused, or nothing answers in `LOAD_MAX_S`."""
        try:
            self.go(url)
        except RuntimeError:
            return ""
        if self.run("return location.protocol") == "chrome-error:":
            return ""
        status = self.run("return performance.getEntriesByType('navigation')[0].responseStatus")
        return "" if status >= REFUSED else f"{status} {self.text()}"

    def run(self, script: str, *arguments: object) -> Any:
        """What the function body `script` returns; a promise is waited for."""
        return self._ask("execute/sync", script=script, args=list(arguments))

    def text(self) -> str:
        """The text on the page."""
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def url(self) -> str:
        """Where it is."""
        return str(self._http.get(f"{self._path}/url").json()["value"])

    def cookies(self) -> list[dict[str, Any]]:
        """Those that the page's requests bear."""
        found: list[dict[str, Any]] = self._http.get(f"{self._path}/cookie").json()["value"]
        return found

    def console(self) -> list[str]:
        """What the pages complained of since the last call."""
        return [entry["message"] for entry in self._ask("se/log", type="browser")]

    def screenshot(self, file: Path) -> None:
        """The page as a PNG."""
        file.write_bytes(base64.b64decode(self._http.get(f"{self._path}/screenshot").json()["value"]))

    def _ask(self, command: str, **body: object) -> Any:
        answer = self._http.post(f"{self._path}/{command}", json=body).json()["value"]
        if isinstance(answer, dict) and "error" in answer and "stacktrace" in answer:
            raise RuntimeError(str(answer["message"]))
        return answer


@contextmanager
def chromium(folder: Path, rules: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`; `rules` are for its resolver, as `MAP evil.example 127.0.0.1`.

    Without Chromium the test is skipped, and says so on the terminal too: what it shows is then not shown.
    """
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        print(
            "\nNOT SHOWN: no chromium and chromedriver here (Debian: apt-get install chromium-driver)", file=sys.stderr
        )
        pytest.skip("no chromium and chromedriver: nothing is known of what a browser's page can reach")
    port = free_port()
    process = subprocess.Popen(
        [driver, f"--port={port}", "--allowed-ips=127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=CALL_MAX_S, trust_env=False) as http:
            _until_ready(http)
            arguments = [*FLAGS, f"--user-data-dir={folder}", f"--host-resolver-rules={','.join(rules)}"]
            options = {"binary": binary, "args": arguments}
            asked = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            made = http.post("/session", json={"capabilities": {"alwaysMatch": asked}}).json()["value"]
            session = made.get("sessionId")
            assert session, made
            try:
                http.post(f"/session/{session}/timeouts", json={"pageLoad": int(LOAD_MAX_S * 1000)})
                yield Browser(http, session)
            finally:
                http.delete(f"/session/{session}")
    finally:
        kill_group(process)


def _until_ready(http: httpx.Client) -> None:
    deadline = time.monotonic() + STARTED_MAX_S
    while True:
        try:
            if http.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "chromedriver does not answer"
        time.sleep(0.05)
