"""The look at what a web page would get, before sockets that give much, little and nothing."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stigmer_cli.doctor.facts.web_page_access import probe_page_endpoints
from tests.support.temporal_server import die_with_parent, kill_group

SERVES = """
import http.server, socket, time
PAGE, SLOW_S = "/metrics", 0.0
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(SLOW_S if self.path != "/metrics" else 0)
        knows = self.path == PAGE and "page.invalid" in self.headers["Host"]
        self.send_response(200 if knows else 421); self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
silent = socket.create_server(("127.0.0.1", 0))
print(server.server_port, silent.getsockname()[1], flush=True)
server.serve_forever()
"""


@contextmanager
def _part(code: str) -> Iterator[tuple[int, list[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
    )
    assert process.stdout is not None
    try:
        yield process.pid, process.stdout.readline().decode().split()
    finally:
        kill_group(process)
        process.stdout.close()


async def test_a_socket_is_known_by_what_it_gives_to_a_foreign_host() -> None:
    with _part(SERVES) as (pid, (open_port, silent_port)):
        found = await probe_page_endpoints({"temporal": pid})
    given = {endpoint.address: endpoint.given for endpoint in found}
    assert given == {f"127.0.0.1:{open_port}": ("/metrics",), f"127.0.0.1:{silent_port}": ()}
    assert {endpoint.part for endpoint in found} == {"temporal"}


async def test_whoever_answers_at_all_has_more_time_for_the_other_paths() -> None:
    with _part(SERVES.replace('"/metrics", 0.0', '"/livez", 0.15')) as (pid, (open_port, _)):
        found = await probe_page_endpoints({"temporal": pid})
    assert [(one.address, one.given) for one in found if one.given] == [(f"127.0.0.1:{open_port}", ("/livez",))]


async def test_a_part_behind_a_script_is_looked_at_too() -> None:
    behind = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SERVES!r}])"
    with _part(behind) as (pid, (open_port, _)):
        found = await probe_page_endpoints({"temporal": pid})
    assert [endpoint.address for endpoint in found if endpoint.given] == [f"127.0.0.1:{open_port}"]


async def test_a_part_that_is_gone_or_listens_nowhere_has_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert await probe_page_endpoints({"runner": 2**22 - 1}) == ()
