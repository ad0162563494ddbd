"""Checks of category Store: the file as it lies there, and what the server says of it."""

from dataclasses import replace

import pytest

from stigmer_cli.doctor.checks import servers, store
from stigmer_cli.doctor.facts.facts import StoreSeen
from tests.support.ids import STORE
from tests.unit.doctor.facts_builder import HOME, brief, healthy, server

FILE = HOME.store_file
DAMAGED = f"{HOME.data}/damaged-20260504-120000"
NO_HEADER = f"{FILE} is not a SQLite database: its header is damaged"
ASIDE = f"stigmer down; mkdir -p {DAMAGED} && mv {FILE}* {DAMAGED}/"
DUMP = f"sqlite3 -readonly {DAMAGED}/stigmer.db .dump | sed 's/^ROLLBACK;.*/COMMIT;/'"
RECOVER = f"{ASIDE} && {DUMP} | sqlite3 {FILE} && stigmer up"
ASIDE_ONLY = "it is left as it is, and there is no copy of it: move it aside and begin with an empty one"
COPY = HOME.data / "backups" / "stigmer.db.7"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (StoreSeen(path=FILE, size=1), ("pass", "stigmer.db is there", "")),
        (StoreSeen(path=None), ("skip", "the database is not a file of this machine", "")),
        (
            StoreSeen(path=FILE, exists=False),
            (
                "fail",
                f"{FILE} was removed while the stack runs; nothing is accepted",
                "stigmer down; stigmer up --new-store",
            ),
        ),
        (
            StoreSeen(path=FILE, size=0, has_header=False),
            ("fail", f"{FILE} is empty; {ASIDE_ONLY}", f"{ASIDE} && stigmer up --new-store"),
        ),
        (
            StoreSeen(path=FILE, size=9, has_header=False),
            ("fail", f"{NO_HEADER}; {ASIDE_ONLY}", f"{ASIDE} && stigmer up --new-store"),
        ),
        (
            StoreSeen(path=FILE, size=9, has_header=False, newest_copy=COPY),
            (
                "fail",
                f"{NO_HEADER}; it is left as it is, and the copy of before the last upgrade is stigmer.db.7",
                f"{ASIDE} && cp {COPY} {FILE} && stigmer up",
            ),
        ),
        (
            StoreSeen(path=FILE, why_unreadable="Permission denied"),
            ("fail", f"{FILE} cannot be read: Permission denied", f"ls -l {FILE}"),
        ),
    ],
)
async def test_store_file(seen: StoreSeen, expected: tuple[str, str, str]) -> None:
    assert brief(await store.file(healthy(store=seen))) == expected


async def test_a_store_that_was_never_made_is_no_failure() -> None:
    never = healthy(store=StoreSeen(path=FILE, exists=False), endpoints=None)
    assert (await store.file(never)).result == "skip"


async def test_a_store_that_is_gone_is_a_failure_also_while_the_stack_is_down() -> None:
    gone = healthy(store=StoreSeen(path=FILE, exists=False, recorded=STORE, newest_copy=COPY), endpoints=None)
    message = f"{FILE} is gone: it held the executions of this home ({STORE})"
    assert brief(await store.file(gone)) == ("fail", message, f"stigmer down; cp {COPY} {FILE} && stigmer up")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (StoreSeen(path=FILE, size=9), ("pass", "quick_check finds nothing", "")),
        (
            StoreSeen(path=FILE, size=9, integrity="database disk image is malformed"),
            ("fail", f"{FILE} is damaged: database disk image is malformed; it is left as it is", RECOVER),
        ),
        (
            StoreSeen(path=FILE, size=9, integrity="malformed", can_salvage=False),
            ("fail", f"{FILE} is damaged: malformed; it is left as it is", f"{ASIDE} && stigmer up --new-store"),
        ),
        (StoreSeen(path=FILE, integrity=""), ("skip", "the file is locked just now", "")),
    ],
)
async def test_integrity(seen: StoreSeen, expected: tuple[str, str, str]) -> None:
    assert brief(await store.integrity(healthy(store=seen))) == expected


async def test_a_log_that_only_grows_is_a_warning() -> None:
    assert (await store.room(healthy())).message == "4.0 KiB, its log 0 B"
    grown = StoreSeen(path=FILE, size=9, wal_size=1 << 30)
    assert (await store.room(healthy(store=grown))).result == "warn"


async def test_what_the_server_says_of_its_database_is_reported() -> None:
    assert (await store.usable(healthy())).result == "pass"
    seen = server()
    assert seen.health
    broken = replace(
        seen,
        health=seen.health.model_copy(update={"store": seen.health.store.model_copy(update={"error": "disk full"})}),
    )
    assert (await store.usable(healthy(server=broken))).message == "the server cannot use its database: disk full"


async def test_a_server_that_refuses_its_temporal_is_known_by_the_code_of_the_refusal() -> None:
    words = "server srv-1 (pid 7 on ada) uses this store with another Temporal, at t:7233"
    refused = server(state="MISCONFIGURED", cause=words, refusal="other-temporal")
    assert brief(await servers.one_temporal(healthy(server=refused))) == ("fail", words, "stigmer up --adopt-temporal")
    assert (await servers.one_temporal(healthy(server=server(state="MISCONFIGURED", cause=words)))).result == "pass"

    async def lines(_part: str) -> tuple[str, ...]:
        return (f'{{"code": "other-temporal", "cause": "{words}"}}', "error: the end")

    ended = healthy(server=replace(server(), health=None), lines=lines)
    assert brief(await servers.one_temporal(ended)) == (
        "fail",
        f"the server ended: {words}",
        "stigmer up --adopt-temporal",
    )
