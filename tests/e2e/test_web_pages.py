"""What a web page gets of a stack, whatever name it gave to its addresses: nothing. And what its owner gets: the UI."""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
import pytest

from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.temporal.dev_server import HttpEndpoints, dev_server_argv, find_binary
from tests.support.browser import Browser, chromium
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until
from tests.support.temporal_server import die_with_parent, free_port, kill_group

pytestmark = pytest.mark.skipif(not IS_LINUX, reason="elsewhere the web UI is off, and Temporal's metrics are in reach")

EVIL = "evil.example"
SILENCE_S = 0.7
PATHS = (
    "/",
    "/livez",
    "/metrics",
    "/swagger.json",
    "/openapi.yaml",
    "/api/v1/namespaces",
    "/nexus/endpoints/any/services",
    "/ui/",
    "/ui/api/v1/namespaces",
    "/ui/-/open?once=x",
    "/v1/executions",
)
ASK = """
const answers = await Promise.all(arguments[0].map(async path => {
  try { return [path, (await fetch(path, {credentials: 'include'})).status]; } catch (error) { return [path, 0]; }
}));
return answers;
"""
ASK_NAMESPACES = "GET /ui/api/v1/namespaces HTTP/1.0\r\n\r\n"
TERMINATE = """
const [url, mode] = arguments;
try {
  const answer = await fetch(url, {method: 'POST', mode: mode, credentials: 'include', body: '{"reason": "a page"}'});
  return answer.status;
} catch (error) { return String(error); }
"""


class End(NamedTuple):
    """One listening socket."""

    ip: str
    port: int


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    """A stack as anybody starts it, with an execution in it."""
    with installed(tmp_path_factory.mktemp("pages") / "home") as one:
        del one.environment["STIGMER_UI_PORT"]
        one.ok("up")
        one.apply_agent()
        one.ok("run", "greeter", "something to steal", "--timeout", "60")
        yield one


def _listening(processes: list[psutil.Process]) -> set[End]:
    ends = [end for process in processes for end in process.net_connections("tcp")]
    return {End(*end.laddr) for end in ends if end.status == psutil.CONN_LISTEN}


def _sockets(stigmer: Stigmer) -> set[End]:
    """All of the process tree; those whose part is known are there, or this file shows nothing."""
    found = _listening(stigmer.processes())
    state = _state(stigmer)
    assert {end.port for end in found} > {state[f"{part}_port"] for part in ("server", "temporal", *HIDDEN)}
    assert len(found) >= 8
    return found


HIDDEN = ("ui", "http", "metrics")


def _state(stigmer: Stigmer) -> dict[str, object]:
    found = json.loads((stigmer.home / "run" / "stack.json").read_text())
    assert isinstance(found, dict)
    return found


def _raw(end: End, request: str) -> bytes:
    """What comes back; nothing where nobody takes the connection or says a word."""
    with socket.socket() as ours:
        ours.settimeout(SILENCE_S)
        try:
            ours.connect(end)
            ours.sendall(request.encode())
            return ours.recv(4096)
        except OSError:
            return b""


def _is_refusal(answer: bytes) -> bool:
    """Silence, an HTTP status from 400 on, or the frames of HTTP/2, which no page can speak over plain TCP."""
    if not answer.startswith(b"HTTP/1"):
        return not answer or (answer[3] == 4 and b"HTTP" not in answer)
    return int(answer.split()[1]) >= 400


def _given_to_strangers(ends: set[End], host: str = EVIL) -> dict[str, bytes]:
    requests = {
        (end, path): f"GET {path} HTTP/1.1\r\nHost: {host}:{end.port}\r\nConnection: close\r\n\r\n"
        for end in ends
        for path in PATHS
    }
    with ThreadPoolExecutor(16) as pool:
        answers = dict(zip(requests, pool.map(lambda one: _raw(one[0][0], one[1]), requests.items()), strict=True))
    return {f"{end.ip}:{end.port}{path}": said for (end, path), said in answers.items() if not _is_refusal(said)}


@contextmanager
def _bare(folder: Path) -> Iterator[tuple[int, set[End]]]:
    """A dev server as anybody starts it by hand, and the port of its UI."""
    port = free_port()
    http_endpoints = HttpEndpoints(source=None, ui_port=free_port(), http_port=free_port(), metrics_port=free_port())
    argv = dev_server_argv(binary=find_binary(None), port=port, file=None, http_endpoints=http_endpoints)
    process = subprocess.Popen(
        argv,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
    )
    assert http_endpoints.ui_port is not None
    try:
        wait_until(
            lambda: _raw(End("127.0.0.1", http_endpoints.ui_port or 0), ASK_NAMESPACES).startswith(b"HTTP/1.0 200"),
            within_s=30,
        )
        yield http_endpoints.ui_port, _listening([psutil.Process(process.pid)])
    finally:
        kill_group(process)


def test_no_socket_gives_anything_to_who_asks_for_another_host(stigmer: Stigmer) -> None:
    assert _given_to_strangers(_sockets(stigmer)) == {}


def test_what_is_drawn_is_silent_even_to_who_asks_by_address(stigmer: Stigmer) -> None:
    hidden = {_state(stigmer)[f"{part}_port"] for part in HIDDEN}
    ends = {end for end in _sockets(stigmer) if end.port in hidden}
    assert len(ends) == 3
    assert [_raw(end, f"GET / HTTP/1.1\r\nHost: {end.ip}:{end.port}\r\n\r\n") for end in ends] == [b""] * 3


def test_the_same_questions_get_everything_out_of_a_bare_dev_server(tmp_path: Path) -> None:
    with _bare(tmp_path) as (ui_port, ends):
        given = _given_to_strangers(ends)
    assert f"127.0.0.1:{ui_port}/ui/api/v1/namespaces" in given
    assert any(place.endswith("/metrics") and b"200 OK" in said for place, said in given.items())
    assert any(place.endswith("/swagger.json") for place in given)


@pytest.mark.parametrize(
    "request_line",
    [
        "GET http://127.0.0.1:{port}/livez HTTP/1.1\r\nHost: evil.example",
        "GET http://evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1:{port}",
        "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example",
        "GET /livez HTTP/1.1\r\nHost: evil.example\r\nHost: 127.0.0.1:{port}",
        "GET /livez HTTP/1.1",
        "GET /livez HTTP/1.0",
        "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{port}.evil.example",
        "GET /livez HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: 127.0.0.1:{port}",
        "GET /livez HTTP/1.1\r\nHost:",
    ],
)
def test_a_host_that_can_be_read_in_two_ways_is_refused(stigmer: Stigmer, request_line: str) -> None:
    port = _state(stigmer)["server_port"]
    assert isinstance(port, int)
    answer = _raw(End("127.0.0.1", port), request_line.format(port=port) + "\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4"), answer


@pytest.mark.slow
def test_a_page_with_a_rebound_name_reads_nothing_on_any_socket(stigmer: Stigmer, tmp_path: Path) -> None:
    ends = sorted(_sockets(stigmer))
    names = {ip: f"at{number}.{EVIL}" for number, ip in enumerate(sorted({end.ip for end in ends}))}
    assert len(names) == 2, "127.0.0.1 and the drawn address"
    rules = [f"MAP {name} {ip}" for ip, name in names.items()]
    with chromium(tmp_path, rules) as browser:
        for end in ends:
            for path in ("/", "/ui/api/v1/namespaces"):
                assert browser.read(f"http://{names[end.ip]}:{end.port}{path}") == "", end
        server = _state(stigmer)["server_port"]
        browser.read(f"http://{names['127.0.0.1']}:{server}/")
        assert browser.url().startswith(f"http://{names['127.0.0.1']}:{server}"), "a page of the rebound name itself"
        assert {status for _, status in browser.run(ASK, list(PATHS))} == {421}


@pytest.mark.slow
def test_the_same_page_reads_a_bare_dev_server(tmp_path: Path) -> None:
    with _bare(tmp_path) as (ui_port, _), chromium(tmp_path / "profile", [f"MAP {EVIL} 127.0.0.1"]) as browser:
        assert "temporal-system" in browser.read(f"http://{EVIL}:{ui_port}/ui/api/v1/namespaces")


def _link(stigmer: Stigmer, *arguments: str) -> str:
    return stigmer.ok("ui", "--print", *arguments).strip()


def test_no_text_browser_uses_up_the_link(stigmer: Stigmer, tmp_path: Path) -> None:
    program = tmp_path / "www-browser"
    program.write_text('#!/bin/sh\necho "opened $*"\n')
    program.chmod(0o755)
    environment = stigmer.environment | {"DISPLAY": ":9", "TERM": "xterm", "PATH": str(tmp_path)}
    done = subprocess.run(
        [stigmer.command, "ui", "-o", "table"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("http://"), done.stdout


def _shows(browser: Browser, words: str) -> None:
    wait_until(lambda: words in browser.text(), within_s=30)


def test_the_ui_shows_the_workflows_to_who_opens_the_link(stigmer: Stigmer, tmp_path: Path) -> None:
    name = str(stigmer.json("executions", "list")["items"][0]["metadata"]["id"])
    page = str(stigmer.json("executions", "get", name)["webUi"])
    with chromium(tmp_path) as browser:
        assert browser.read(page) == "", "without the cookie"
        assert "stigmer ui" in browser.text()
        browser.go(_link(stigmer))
        _shows(browser, name)
        assert "COMPLETED" in browser.text()
        assert "once=" not in browser.url() + str(browser.run("return document.referrer"))
        browser.screenshot(tmp_path / "list.png")
        browser.go(page)
        _shows(browser, "performed")
        assert not [line for line in browser.console() if "Content Security Policy" in line]
        assert [cookie["path"] for cookie in browser.cookies() if cookie["httpOnly"]] == ["/ui"]
    with chromium(tmp_path / "another") as browser:
        browser.go(_link(stigmer, name))
        _shows(browser, "performed")


def test_a_link_works_once(stigmer: Stigmer, tmp_path: Path) -> None:
    link = _link(stigmer)
    with chromium(tmp_path) as browser:
        browser.go(link)
    with chromium(tmp_path / "another") as browser:
        assert browser.read(link) == ""
        assert "This link was used" in browser.text()


class _Page(BaseHTTPRequestHandler):
    """A page of some other server on this machine."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><p>another server")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        """Silent."""


@contextmanager
def _other_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_a_page_of_another_port_cannot_write_with_the_cookie_and_the_ui_can(stigmer: Stigmer, tmp_path: Path) -> None:
    stigmer.apply_agent("slow", "echo:slow")
    name = stigmer.ok("run", "slow", "word " * 300, "--detach").strip()
    wait_until(lambda: _phase(stigmer, name) == "IN_PROGRESS", within_s=30)
    found = stigmer.json("executions", "get", name)
    workflow = quote(str(found["status"]["dispatch"]["workflowId"]), safe="")
    url = f"{_state(stigmer)['ui_url']}/api/v1/namespaces/default/workflows/{workflow}/terminate"
    with chromium(tmp_path) as browser, _other_server() as other:
        browser.go(_link(stigmer))
        _shows(browser, name)
        browser.go(other)
        assert "TypeError" in str(browser.run(TERMINATE, url, "no-cors")), "sent, and its answer is not for this page"
        assert "TypeError" in str(browser.run(TERMINATE, url, "cors"))
        assert _phase(stigmer, name) == "IN_PROGRESS"
        browser.go(str(_state(stigmer)["ui_url"]))
        assert browser.run(TERMINATE, url, "cors") == 200
    wait_until(lambda: _phase(stigmer, name) != "IN_PROGRESS" or _is_marked(stigmer, name), within_s=60)


def _phase(stigmer: Stigmer, name: str) -> str:
    return str(stigmer.json("executions", "get", name)["status"]["phase"])


def _is_marked(stigmer: Stigmer, name: str) -> bool:
    return bool(stigmer.json("executions", "get", name)["status"].get("attention"))


def test_a_temporal_that_was_killed_comes_back_in_the_same_place_and_as_silent(stigmer: Stigmer) -> None:
    before, pid = _state(stigmer), stigmer.pids()["temporal"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stigmer.json("status")["state"] == "ready" and stigmer.pids()["temporal"] != pid, within_s=60)
    assert _state(stigmer) == before
    assert _given_to_strangers(_sockets(stigmer)) == {}
    for part in ("temporal", "server"):
        done = stigmer("restart", part)
        assert (done.returncode, "ui_address" in done.stderr) == (0, False), done.stderr
    assert _state(stigmer) == before
    assert _given_to_strangers(_sockets(stigmer)) == {}


def test_two_stacks_have_places_of_their_own(stigmer: Stigmer, tmp_path: Path) -> None:
    with installed(tmp_path / "home") as other:
        del other.environment["STIGMER_UI_PORT"]
        other.ok("up", "--auto-ports")
        here, there = _state(stigmer), _state(other)
        assert here["ui_source"] != there["ui_source"]
        assert _given_to_strangers(_sockets(other)) == {}
        other.ok("ui", "--print")
