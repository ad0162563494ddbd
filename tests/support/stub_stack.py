"""A stack whose parts are small Python programs, behind the same code as the real ones."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stigmer_cli.clock import SystemClock
from stigmer_cli.settings import Home, Settings, load
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.up import Ready, UpContext, up
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import read_record
from stigmer_cli.supervisor.spec import ChildSpec
from tests.support.processes import environ

LISTENS = """
import os, socket, sys, time
if os.path.exists(sys.argv[3]):
    print(open(sys.argv[3]).read(), flush=True); raise SystemExit(1)
ends = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:3]]; time.sleep(600)
"""
SERVES = """
import datetime, http.server, json, os, sys
from stigmer_cli.server_proof import address_of, proof_of
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        path, _, nonce = self.path.partition("?nonce=")
        if nonce:
            token = open(sys.argv[2] + "/token").read().strip()
            where, pid = address_of(self.connection.getsockname()), os.getpid()
            self.say(200, {"pid": pid, "proof": proof_of(token, nonce=nonce, address=where, pid=pid)})
            return
        known = self.headers["Authorization"] == "Bearer " + open(sys.argv[2] + "/token").read().strip()
        pid = open(sys.argv[2] + "/runner.pid").read() if os.path.exists(sys.argv[2] + "/runner.pid") else "0"
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        poller = {"identity": f"stigmer-runner/{pid}@box/1", "lastAccessAt": now}
        body = {"/readyz": {"ready": True}, "/v1/health": {"state": "ready", "pid": os.getpid(), "version": "1",
                "temporal": {"state": "CONNECTED"}, "taskQueue": {"pollers": [poller]}}}[self.path]
        self.say(200 if known else 401, body)
    def say(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status); self.send_header("Content-Length", str(len(text))); self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_): pass
if os.path.exists(sys.argv[2] + "/server.breaks"):
    print("cannot go on", flush=True); raise SystemExit(7)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""
WORKS = """
import os, sys, time
open(sys.argv[1] + "/runner.pid", "w").write(str(os.getpid())); time.sleep(600)
"""


class Silence:
    """Progress that nobody watches, but the test."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def part(self, name: str, state: str) -> None:
        self.told.append((name, state))


@dataclass
class Stack:
    """A home, free ports, and the calls of `stack/` on them."""

    home: Home
    ports: Mapping[str, str]
    progress: Silence = field(default_factory=Silence)
    said: Mapping[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def settings(self, **flags: str) -> Settings:
        environment = {"STIGMER_HOME": str(self.home.path), **self.ports, **self.said}
        return load(flags, environment, user_home=Path("/nowhere"))

    def build(self, settings: Settings, options: StackOptions, environ: Mapping[str, str]) -> tuple[ChildSpec, ...]:
        assert not options.ephemeral
        env = settings.environment_in(environ)
        home = str(settings.home.path)
        argvs = {
            "temporal": (LISTENS, str(settings.temporal_port), str(settings.ui_port), f"{home}/temporal.breaks"),
            "server": (SERVES, str(settings.server_port), home),
            "runner": (WORKS, home),
        }
        orders = {"temporal": 2, "server": 1, "runner": 0}
        return tuple(
            ChildSpec(
                name=name,
                argv=(sys.executable, "-c", *argv),
                env=env,
                cwd=self.home.path,
                log=self.home.logs / f"{name}.log",
                stop_order=orders[name],
                stop_grace_s=1.0,
            )
            for name, argv in argvs.items()
        )

    @property
    def around(self) -> UpContext:
        return UpContext(clock=SystemClock(), environ=environ(self.said), build=self.build, tell=self.told.append)

    def shell(self, *, without_ports: bool = False, **said: str) -> "Stack":
        """The same home in a shell that says `said`, and of ports nothing where it is `without_ports`."""
        return replace(self, ports={} if without_ports else self.ports, said=said, told=[])

    async def up(self, flags: Mapping[str, str] | None = None, *, wait_s: float = 30.0) -> Ready:
        options = StackOptions(wait_timeout_s=wait_s)
        return await up(self.settings(**(flags or {})), options, progress=self.progress, around=self.around)

    def processes(self) -> dict[str, ProcessId]:
        """Who runs, by what was written down."""
        record = read_record(self.home.run)
        if record is None:
            return {}
        found = {"supervisor": record.id, **{one.name: one.id for one in record.children if one.id}}
        return {name: one for name, one in found.items() if one.is_alive}
