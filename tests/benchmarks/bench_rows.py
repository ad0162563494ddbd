"""How long lists, health, metrics and doctor's queries take at 1,000,000 executions, beside the same at 10,000.

Two servers, each with a store of its own, answer the same requests in turn. No Temporal runs: what is measured is the
server and its store, and no execution gets on meanwhile.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self
from urllib.parse import quote

import httpx

from tests.benchmarks import rows
from tests.benchmarks.report import Benchmark, Row
from tests.support.running_server import TOKEN, Served
from tests.support.temporal_server import free_port

FEW, MANY, QUICK_MANY = 10_000, 1_000_000, 200_000
ROUNDS, QUICK_ROUNDS = 30, 10
MAX_MS, TIMES_MAX = 50.0, 1.5

LIST = "/v1/executions?limit=50&count=true"
ROUTES: Mapping[str, str] = {
    "`executions list`": f"{LIST}&judged=true",
    "the same, page 100 of `--all`": f"{LIST}&cursor={{deep}}",
    "`executions list --stuck`": "/v1/executions?limit=50&stuck=true",
    "`--phase FAILED`": f"{LIST}&phase=FAILED",
    "`--agent`, one of many executions": f"{LIST}&agent={rows.COMMON_AGENT}",
    "`--agent`, one that ran long ago": f"{LIST}&agent={rows.OLD_AGENT}",
    "`--label`, a common one": f"{LIST}&label={rows.COMMON_LABEL}",
    "`--label`, one of long ago": f"{LIST}&label={rows.OLD_LABEL}",
    "`--label`, a common one, `--phase IN_PROGRESS`": f"{LIST}&label={rows.COMMON_LABEL}&phase=IN_PROGRESS",
    "`--label` of long ago, `--agent`": f"{LIST}&label={rows.OLD_LABEL}&agent={rows.COMMON_AGENT}",
    "`--since`, the newest 500": f"{LIST}&since={{lately}}",
    "`--search`, a word in all": f"{LIST}&search={rows.COMMON_WORD}",
    "`--search`, a word of long ago": f"{LIST}&search={rows.OLD_WORD}",
    "`--search`, a word in all, `--phase CANCELLED`": f"{LIST}&search={rows.COMMON_WORD}&phase=CANCELLED",
    "`--search`, a word in all, `--phase IN_PROGRESS`": f"{LIST}&search={rows.COMMON_WORD}&phase=IN_PROGRESS",
    "`--search`, a word in all, `--label` of long ago": f"{LIST}&search={rows.COMMON_WORD}&label={rows.OLD_LABEL}",
    "`--search`, a word in all, `--agent` of long ago": f"{LIST}&search={rows.COMMON_WORD}&agent={rows.OLD_AGENT}",
    "`agents list`": "/v1/agents?status=true",
    "`/v1/health`": "/v1/health",
    "`/metrics`": "/metrics",
    "`doctor`: what is stuck": "/v1/stuck",
    "`doctor`: what waits": "/v1/executions?phase=PENDING&limit=500",
}

DEEP_PAGES, PAGE = 10, 500


class Side:
    """A server on a store of so many executions, and a client that keeps its connection."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self._home = folder / f"{number}"
        self._server = Served(self._home, f"127.0.0.1:{free_port()}", {"STIGMER_RECONCILE": "manual"})
        self._http = httpx.AsyncClient(
            base_url=self._server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60.0, trust_env=False
        )
        self._places: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Fill the store, start the server, and find where its pages are."""
        (self._home / "data").mkdir(parents=True, mode=0o700)
        self._home.chmod(0o700)
        await rows.fill(f"sqlite:///{self._home}/data/stigmer.db", self.number)
        await self._server.start()
        cursor = ""
        for _ in range(DEEP_PAGES):
            found = await self._get(f"/v1/executions?limit={PAGE}{cursor}")
            cursor = f"&cursor={found.json()['nextCursor']}"
        lately = (await self._get(f"/v1/executions?limit={PAGE}")).json()["items"][-1]["metadata"]["createdAt"]
        self._places = {"deep": cursor.partition("=")[2], "lately": quote(lately)}
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop."""
        await self._http.aclose()
        self._server.kill()

    async def time(self, path: str) -> float:
        """Milliseconds until the answer is here."""
        begun = time.perf_counter()
        await self._get(path.format(**self._places))
        return (time.perf_counter() - begun) * 1000

    async def _get(self, path: str) -> httpx.Response:
        found = await self._http.get(path)
        assert found.status_code == httpx.codes.OK, (path, found.text)
        return found


async def _measure(folder: Path, many: int, rounds: int) -> Mapping[str, tuple[float, float]]:
    """For each route the medians of both sides; a round asks both, one after the other."""
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(Side(folder, number)) for number in (FEW, many)]
        samples: dict[str, list[list[float]]] = {what: [[], []] for what in ROUTES}
        for _ in range(rounds + 1):
            for what, path in ROUTES.items():
                for side, taken in zip(sides, samples[what], strict=True):
                    taken.append(await side.time(path))
    return {
        what: (statistics.median(few[1:]), statistics.median(more[1:]))  # the first round fills caches
        for what, (few, more) in samples.items()
    }


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Each route at many executions beside the same at few, and the slowest of all."""
    many, rounds = (QUICK_MANY, QUICK_ROUNDS) if is_quick else (MANY, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="stigmer-rows-") as folder:
        found = asyncio.run(_measure(Path(folder), many, rounds))
    slowest = max(found, key=lambda what: found[what][1])
    return [
        *(
            Row(what=what, measured=more, unit="ms", reference=f"at {FEW:,}", beside=few, budget=TIMES_MAX)
            for what, (few, more) in found.items()
        ),
        Row(what=f"the slowest of them ({slowest})", measured=found[slowest][1], unit="ms", budget=MAX_MS),
    ]


BENCHMARK = Benchmark(
    name="rows",
    about="Lists, health, metrics and doctor's questions at 1,000,000 executions, beside the same at 10,000.",
    run=run,
)
