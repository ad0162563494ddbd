"""The manual's page about networking, run word for word: each machine is an address of its own on loopback.

PostgreSQL and Temporal are real, Temporal behind mTLS as a cluster's frontend is; the balancer is HAProxy. Only the
first block of the page, which says where things are, is this test's own.
"""

import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

from stigmer_cli.cli.help.topics import read_page
from stigmer_cli.errors import ServerBusy
from tests.support import postgres
from tests.support.polling import wait_until
from tests.support.temporal_server import DevServer, dev_server, die_with_parent, kill_group

PAGE = read_page("networking")
WITHIN_S = 40
TEMPORAL_DOOR = """
global
    maxconn 200
defaults
    mode tcp
    timeout connect 2s
    timeout client 90s
    timeout server 90s
frontend temporal
    bind "${TEMPORAL}" ssl crt temporal-server.pem ca-file ca.pem verify required alpn h2
    default_backend temporal
backend temporal
    server one "${INNER}"
"""
TEMPORAL_CERTIFICATE = """
openssl req -newkey rsa:2048 -nodes -subj "/CN=temporal" -keyout t.key -out t.csr
openssl x509 -req -in t.csr -CA ca.pem -CAkey ca.key -days 1 -extfile <(echo "subjectAltName=$TEMPORAL_SAN") -out t.crt
cat t.crt t.key > temporal-server.pem
"""


def blocks(kind: str) -> dict[str, str]:
    """The page's blocks of this kind, by the words of the comment that they begin with."""
    found = re.findall(rf"^```{kind}\n# ([^\n:;]+)[^\n]*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return dict(found)


@dataclass
class Place:
    """A folder that stands for the files on every machine, and the processes that were started there."""

    folder: Path
    values: dict[str, str]
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def environment(self, machine: str) -> dict[str, str]:
        """Of a shell on `machine`, which has a home of its own."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
        home = self.folder / machine.replace(" ", "-")
        return {**os.environ, **self.values, "PATH": path, "STIGMER_HOME": str(home), "COLUMNS": "200"}

    def run(self, machine: str, script: str) -> str:
        """What the block `script` prints; fails where one of its lines does."""
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            cwd=self.folder,
            env=self.environment(machine),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}\nexit {done.returncode}\n{done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def start(self, machine: str, script: str) -> None:
        """The block `script` under way."""
        with (self.folder / f"{machine}.log").open("ab") as log:
            self.running[machine] = subprocess.Popen(
                # the last line becomes the process, so that it gets the signals that a service manager sends
                ["bash", "-eu", "-c", _exec_last(script)],
                cwd=self.folder,
                env=self.environment(machine),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )

    def kill(self, machine: str) -> None:
        """SIGKILL."""
        kill_group(self.running.pop(machine))

    def until(self, look: Callable[[], bool]) -> None:
        """Return once `look` is true; fails with everybody's logs."""
        try:
            wait_until(look, within_s=WITHIN_S)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.logs()}") from error

    def log(self, machine: str) -> str:
        """What was written there."""
        return (self.folder / f"{machine}.log").read_text()

    def logs(self) -> str:
        """The last lines of everybody."""
        return "".join(f"\n-- {file.name}\n{file.read_text()[-1500:]}" for file in self.folder.glob("*.log"))


def _exec_last(script: str) -> str:
    *before, last = script.strip().splitlines()
    words = last.split(" ")
    given = [word for word in words if "=" in word]
    return "\n".join([*before, " ".join(["exec", "env", *given, *words[len(given) :]])])


def free_addresses(number: int) -> list[str]:
    """Addresses of 127.0.0.0/8 that nobody else uses: the ports on them are the page's own."""
    dice = random.SystemRandom()
    return [f"127.{dice.randrange(64, 255)}.{dice.randrange(256)}.{dice.randrange(1, 255)}" for _ in range(number)]


def free_port_at(address: str) -> int:
    with socket.socket() as listener:
        listener.bind((address, 0))
        return int(listener.getsockname()[1])


@contextmanager
def machines(folder: Path, database: str, temporal: DevServer) -> Iterator[Place]:
    """Everything that the page takes for granted: a database, a Temporal behind mTLS, and the page's own files."""
    balancer, server_a, server_b, at_temporal = free_addresses(4)
    address = f"{at_temporal}:{free_port_at(at_temporal)}"
    values = {
        "NAME": balancer,
        "SAN": f"IP:{balancer}",
        "BALANCER": balancer,
        "SERVER_A": server_a,
        "SERVER_B": server_b,
        "DATABASE": database,
        "TEMPORAL": address,
        "TEMPORAL_SAN": f"IP:{at_temporal}",
        "INNER": temporal.address,
    }
    place = Place(folder, values)
    try:
        place.run("anywhere", blocks("sh")["once, anywhere"])
        place.run("temporal", TEMPORAL_CERTIFICATE)
        (folder / "temporal.cfg").write_text(TEMPORAL_DOOR)
        (folder / "haproxy.cfg").write_text(blocks("haproxy")["haproxy.cfg"])
        greeter = re.search(r"^```yaml\n(apiVersion.*?)^```$", read_page("agents"), re.MULTILINE | re.DOTALL)
        assert greeter
        (folder / "greeter.yaml").write_text(greeter[1])
        place.start("temporal", "haproxy -f temporal.cfg")
        yield place
    finally:
        for machine in list(place.running):
            place.kill(machine)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    if shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("HAProxy is not here (Debian: apt install haproxy)")
    with ExitStack() as stack:
        cluster = stack.enter_context(postgres.running(programs))
        database = stack.enter_context(cluster.database())
        temporal = stack.enter_context(dev_server(tmp_path, file=tmp_path / "temporal.db"))
        yield stack.enter_context(machines(tmp_path, database, temporal))


class Caller:
    """Asks through the balancer, and keeps every answer that was none."""

    def __init__(self, place: Place) -> None:
        context = ssl.create_default_context(cafile=str(place.folder / "ca.pem"))
        token = (place.folder / "stigmer.token").read_text().strip()
        self.http = httpx.Client(
            base_url=f"https://{place.values['NAME']}:8443",
            verify=context,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        )
        self.failures: list[str] = []
        self.accepted: list[str] = []
        self.is_done = False

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def ask(self) -> None:
        """List and accept, again and again, until told to stop."""
        number = 0
        while not self.is_done:
            number += 1
            try:
                self.http.get("/v1/executions").raise_for_status()
                self.accepted.append(self.accept(f"{id(self)}-{number}"))
            except httpx.HTTPError as error:
                self.failures.append(repr(error))

    def accept(self, key: str) -> str:
        """The id of an execution that was accepted; a busy server is asked again, as commands do."""
        request = {"agent": "greeter", "message": "hello"}
        answer = self.http.post("/v1/executions", json=request, headers={"Idempotency-Key": key})
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and ServerBusy.code in answer.text:
            time.sleep(float(answer.headers["Retry-After"]))
            return self.accept(key)
        answer.raise_for_status()
        return str(answer.json()["metadata"]["id"])

    def phases(self, ids: list[str]) -> set[str]:
        """The phases that these are in."""
        return {self.http.get(f"/v1/executions/{one}").raise_for_status().json()["status"]["phase"] for one in ids}


def is_ready(place: Place, server: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://{place.values[server]}:7234/readyz", trust_env=False).status_code == 200
    return False


def all_started(place: Place) -> None:
    """The page's servers, balancer and two runners."""
    steps = blocks("sh")
    for machine in ("on server A", "on server B"):
        place.start(machine, steps[machine])
    place.until(lambda: is_ready(place, "SERVER_A") and is_ready(place, "SERVER_B"))
    place.start("balancer", steps["on the balancer"])
    for machine in ("runner 1", "runner 2"):
        place.start(machine, steps["on each runner"])
    place.until(lambda: _runners(place) == 2)


def _runners(place: Place) -> int:
    with suppress(httpx.HTTPError), Caller(place).http as http:
        health = http.get("/v1/health").raise_for_status().json()
        return len(health["taskQueue"]["pollers"]) if not health["reasons"] else 0
    return 0


def test_the_page_has_a_block_for_each_machine() -> None:
    assert list(blocks("sh")) == [
        "on every machine",
        "once, anywhere",
        "on server A",
        "on server B",
        "on the balancer",
        "on each runner",
        "wherever you work",
    ]
    assert list(blocks("haproxy")) == ["haproxy.cfg"]
    said = set(re.findall(r"(\w+)=", blocks("sh")["on every machine"]))
    used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", "".join([*blocks("sh").values(), *blocks("haproxy").values()])))
    assert used <= said, "every value is said in the first block"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_works_word_for_word_and_goes_on_when_a_server_stops_or_dies(place: Place) -> None:
    all_started(place)
    told = place.run("laptop", blocks("sh")["wherever you work"])
    assert "COMPLETED" in told or "good morning" in told
    assert "server elsewhere: ready" in told
    assert "healthy" in told

    with ExitStack() as stack:
        callers = [stack.enter_context(closing(Caller(place))) for _ in range(4)]
        _update(place, callers[:3])
        assert [failure for caller in callers for failure in caller.failures] == []
        place.kill("on server B")
        ids = [one for each in callers for one in each.accepted]
        ids += [_accepted(callers[3], place, f"after-{number}") for number in range(10)]
        place.until(lambda: callers[3].phases(ids[-30:]) == {"COMPLETED"})
        assert callers[3].phases(ids) == {"COMPLETED"}
    _rotate(place)
    assert "still there" in place.run("laptop", f"{_exports()}stigmer run greeter 'still there?' --timeout 30")


def _rotate(place: Place) -> None:
    """A new certificate for Temporal, with the page's own lines; whoever runs shows it from then on."""
    machines = ("on server A", "runner 1", "runner 2")
    lines = blocks("sh")["once, anywhere"].replace("\\\n", "").splitlines()
    place.run("anywhere", "\n".join(line for line in lines if "temporal." in line))
    place.until(lambda: all("temporal_files_taken" in place.log(machine) for machine in machines))


def _exports() -> str:
    return "".join(f"{line}\n" for line in blocks("sh")["wherever you work"].splitlines() if line.startswith("export"))


def _update(place: Place, callers: list[Caller]) -> None:
    """Each server is ended and started again, one after the other, while everybody asks."""
    with ThreadPoolExecutor() as threads:
        asking = [threads.submit(caller.ask) for caller in callers]
        try:
            place.until(lambda: all(len(caller.accepted) > 3 for caller in callers))
            for machine, address in (("on server A", "SERVER_A"), ("on server B", "SERVER_B")):
                place.running[machine].send_signal(signal.SIGTERM)
                assert place.running[machine].wait(20) == 0
                place.start(machine, blocks("sh")[machine])
                place.until(partial(is_ready, place, address))
                time.sleep(1.0)  # the balancer looks every half second
        finally:
            for caller in callers:
                caller.is_done = True
        for one in asking:
            one.result()


def _accepted(caller: Caller, place: Place, key: str) -> str:
    """As a client does it: a request that met the dead server is sent again under its key."""
    found: list[str] = []

    def tried() -> bool:
        with suppress(httpx.HTTPError):
            found.append(caller.accept(key))
        return bool(found)

    place.until(tried)
    return found[0]
