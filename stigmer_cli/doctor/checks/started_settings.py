"""Checks of category Stack: what the parts were started with, and whether this shell says the same."""

import shlex

from stigmer_cli.doctor.check import (
    BUSY_S,
    Found,
    Scope,
    Severity,
    check,
    failed,
    passed,
    skipped,
    told,
    warned,
)
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.errors import ConfigError
from stigmer_cli.options import BY_NAME
from stigmer_cli.settings import Source
from stigmer_cli.stack.differences import takeover_command, would_change
from stigmer_cli.stack.precedence import DATABASE, SHARED, TOKEN, keep_recorded, refuse_another_database
from stigmer_cli.stack.settings_record import RUNNER, SERVER, Given, SettingsRecord

EXPORT_DATABASE = f"export {BY_NAME[DATABASE].variable}=... && stigmer up"


@check("STG116", "settings of this shell", severity=Severity.INFO, timeout_s=BUSY_S, scope=Scope.MACHINE)
async def shell(facts: Facts) -> Found:
    """A running stack keeps the settings it was started with, whatever a shell says.

    `stigmer up` and `stigmer restart [PART]` give the parts that they start the settings and keys of the shell they are
    typed in, and name every difference; if a shell names no address, the earlier one stays. Of a secret, only a
    fingerprint is recorded.
    """
    record = facts.given
    if record is None or not record.parts:
        return skipped("no record says what a stack was started with")
    found = would_change(record, facts.shell)
    evidence = {"differences": [one.to_json() for one in found]}
    if not found:
        return passed("this shell has the settings that the stack was started with", **evidence)
    words = "; ".join(map(str, found))
    if not (await facts.supervisor()).is_there:
        return told(f"`stigmer up` in this shell would change: {words}", **evidence)
    return told(
        f"this shell's settings differ from those the stack runs with: {words}; {takeover_command(found)}", **evidence
    )


@check("STG117", "database of this home", timeout_s=BUSY_S, scope=Scope.MACHINE)
async def database(facts: Facts) -> Found:
    """The executions of a home are in one database.

    A stack is never started on another one unasked: an empty store would look healthy, and everything would be out of
    sight. Its URL is recorded without the password, so a shell without the URL must set it; `stigmer up --new-database`
    leaves the database on purpose.
    """
    record = facts.given
    before = record.find_given(DATABASE, SERVER) if record else None
    if record is None or before is None:
        return skipped("no server was started in this home yet")
    name = before.value or f"the file {facts.settings.home.store_file}"
    evidence = {"database": name, "source": before.source, "fingerprint": before.fingerprint}
    try:
        refuse_another_database(keep_recorded(facts.shell, record), record)
    except ConfigError as error:
        if (await facts.supervisor()).is_there:  # it has the URL, and gives it to a part that is restarted
            return told(f"the stack's database is {name}, which this shell does not name", **evidence)
        return failed(error.message, _way_back_to(facts, before), **evidence)
    return passed(f"the executions are in {name}", **evidence)


@check("STG118", "settings of the parts", severity=Severity.WARNING, scope=Scope.MACHINE)
async def parts(facts: Facts) -> Found:
    """Server and runner must have been given the same addresses and the same token.

    A part that is started again by itself gets them from its neighbours; where they differ, `stigmer restart` starts
    all parts with one set.
    """
    record = facts.given
    if facts.endpoints is None:
        return skipped("no stack runs here")
    if record is None:
        return told("no record says what the stack was started with: an older version started it")
    evidence = {part: _shown(record, part) for part in record.parts}
    server, runner = record.parts.get(SERVER, {}), record.parts.get(RUNNER, {})
    apart = [
        option.name
        for option in SHARED
        if option.name in server and option.name in runner and not server[option.name].is_same(runner[option.name])
    ]
    if apart:
        message = f"server and runner were given another {', another '.join(apart)}"
        return warned(message, "stigmer restart", differ=apart, **evidence)
    return passed("all parts were given the same addresses and token", **evidence)


def token_hint(facts: Facts, why: str) -> str:
    """What to type where the server cannot be used because of `why`: it may have been given another token."""
    token = facts.given.find_given(TOKEN, SERVER) if facts.given else None
    if token is None or not token.is_set or "token" not in why:
        return "stigmer restart server"
    return (
        f"export {BY_NAME[TOKEN].variable}=...; it was set when the stack was started (fingerprint {token.fingerprint})"
    )


def _way_back_to(facts: Facts, before: Given) -> str:
    """The command that starts the stack on its recorded database."""
    if before.fingerprint is not None:
        return EXPORT_DATABASE
    if facts.shell.sources.get(DATABASE) is Source.FILE:
        return f"sed -i '/^{DATABASE}/d' {shlex.quote(str(facts.settings.home.config_file))} && stigmer up"
    return f"unset {BY_NAME[DATABASE].variable} && stigmer up"


def _shown(record: SettingsRecord, part: str) -> dict[str, object]:
    return {
        name: {"value": given.value, "fingerprint": given.fingerprint, "source": given.source}
        for name, given in record.parts[part].items()
        if given.is_set
    }
