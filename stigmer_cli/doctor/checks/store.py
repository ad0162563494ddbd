"""Checks of category Store: the file as it lies there, and what the server says of its database."""

import shlex
from pathlib import Path

from stigmer_cli.doctor.check import Found, Scope, Severity, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts, StoreSeen
from stigmer_cli.doctor.text import size
from stigmer_cli.libpq import LOCK_TIMEOUT, WHO_LOCKS

WAL_LARGE_BYTES = 256 * 1024 * 1024
OK = "ok"
ELSEWHERE = "the database is not a file of this machine"


@check("STG301", "store file", needs=("STG101",), scope=Scope.MACHINE)
async def file(facts: Facts) -> Found:
    """Executions are kept in one SQLite file.

    A damaged or replaced file is never written to, and a missing one never replaced by an empty one: an empty store
    looks healthy, and knows no execution. `stigmer up --new-store` accepts that the old one is gone.
    Copies made before upgrades are in `backups` beside it.
    """
    seen = await facts.store()
    if seen.path is None:
        return skipped(ELSEWHERE)
    evidence = {"file": str(seen.path), "bytes": seen.size}
    if seen.why_unreadable:
        name = shlex.quote(str(seen.path))
        return failed(f"{seen.path} cannot be read: {seen.why_unreadable}", f"ls -l {name}", **evidence)
    if not seen.exists:
        if facts.endpoints is None and seen.recorded is None:
            return skipped(f"{seen.path} does not exist yet")
        gone = "was removed while the stack runs; nothing is accepted"
        message = gone if facts.endpoints else f"is gone: it held the executions of this home ({seen.recorded})"
        return failed(f"{seen.path} {message}", _restore_command(seen, facts), **evidence)
    if not seen.has_header:
        what = "is empty" if seen.size == 0 else "is not a SQLite database: its header is damaged"
        return failed(
            f"{seen.path} {what}; it is left as it is, {_describe_copy(seen)}",
            _restore_command(seen, facts),
            **evidence,
        )
    return passed(f"{seen.path.name} is there", **evidence)


@check("STG302", "integrity", needs=("STG301",), scope=Scope.MACHINE)
async def integrity(facts: Facts) -> Found:
    """This runs SQLite's own quick check, read-only, on files up to 32 MiB.

    Where it finds a fault, stop the stack, salvage with sqlite3's `.dump` into a new file, and put that in the place of
    the damaged one.
    """
    seen = await facts.store()
    if seen.path is None or not seen.exists:
        return skipped(ELSEWHERE if seen.path is None else "there is no file yet")
    if not seen.is_checked_whole:
        return skipped(f"{size(seen.size)} are too many to read in a moment; stop the stack and run PRAGMA quick_check")
    if not seen.integrity:
        return skipped("the file is locked just now")
    if seen.integrity != OK:
        message = f"{seen.path} is damaged: {seen.integrity}; it is left as it is"
        return failed(message, _salvage_command(seen, facts), file=str(seen.path), found=seen.integrity)
    return passed("quick_check finds nothing", file=str(seen.path))


@check("STG303", "server's database", needs=("STG108",))
async def usable(facts: Facts) -> Found:
    """This is what the server itself says of its database: whether it answers, and which schema it has.

    The server brings the schema up to date when it starts, and does not start on a newer one than it knows.
    """
    health = (await facts.server()).health
    if health is None:
        return skipped("the server does not answer")
    store = health.store
    evidence = {"kind": store.kind, "revision": store.revision, "error": store.error}
    if store.error:
        fix = WHO_LOCKS if LOCK_TIMEOUT in store.error else "stigmer logs server --tail 20"
        return failed(f"the server cannot use its database: {store.error}", fix, **evidence)
    schema = f", schema {store.revision}" if store.revision else ""
    return passed(f"the server uses its {store.kind} database{schema}", **evidence)


@check("STG304", "store size", needs=("STG301",), severity=Severity.WARNING, scope=Scope.MACHINE)
async def room(facts: Facts) -> Found:
    """SQLite writes its write-ahead log back into the file again and again.

    A log that only grows is held by a reader that never ends.
    """
    seen = await facts.store()
    if seen.path is None or not seen.exists:
        return skipped(ELSEWHERE if seen.path is None else "there is no file yet")
    evidence = {"bytes": seen.size, "walBytes": seen.wal_size}
    words = f"{size(seen.size)}, its log {size(seen.wal_size)}"
    if seen.wal_size > WAL_LARGE_BYTES:
        message = f"the store's log has grown to {size(seen.wal_size)}: something keeps it from being written back"
        return warned(message, "stigmer restart server", **evidence)
    return passed(words, **evidence)


def _describe_copy(seen: StoreSeen) -> str:
    if seen.newest_copy is None:
        return "and there is no copy of it: move it aside and begin with an empty one"
    return f"and the copy of before the last upgrade is {seen.newest_copy.name}"


def _restore_command(seen: StoreSeen, facts: Facts) -> str:
    """Set the damaged file aside, put the newest copy in its place, or begin with an empty one, and start."""
    steps = [_move_aside(seen, facts)] if seen.exists else []
    if seen.newest_copy:
        steps.append(f"cp {shlex.quote(str(seen.newest_copy))} {shlex.quote(str(seen.path))}")
    return f"stigmer down; {' && '.join([*steps, 'stigmer up' if seen.newest_copy else 'stigmer up --new-store'])}"


def _salvage_command(seen: StoreSeen, facts: Facts) -> str:
    """Set the damaged file aside, salvage what can be read of it into a new one, and start."""
    if seen.path is None or not seen.can_salvage:
        return _restore_command(seen, facts)
    path = shlex.quote(str(seen.path))
    damaged = shlex.quote(str(_damaged(facts) / seen.path.name))
    # Not .recover, which many builds of sqlite3 lack; a dump that met damage ends in a rollback of all it could read.
    salvaged = f"sqlite3 -readonly {damaged} .dump | sed 's/^ROLLBACK;.*/COMMIT;/' | sqlite3 {path}"
    return f"stigmer down; {_move_aside(seen, facts)} && {salvaged} && stigmer up"


def _move_aside(seen: StoreSeen, facts: Facts) -> str:
    """The command that moves the file with its log into a folder of its own."""
    folder = shlex.quote(str(_damaged(facts)))
    return f"mkdir -p {folder} && mv {shlex.quote(str(seen.path))}* {folder}/"


def _damaged(facts: Facts) -> Path:
    return facts.settings.home.data / f"damaged-{facts.clock.now():%Y%m%d-%H%M%S}"
