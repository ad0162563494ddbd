"""What the options of a command select: as a query of the server, and in words."""

import shlex
from dataclasses import replace
from datetime import datetime

from stigmer_cli.api.query import Query
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.options import Selection
from stigmer_cli.cli.parameters import read_moment
from stigmer_cli.errors import ConfigError
from stigmer_cli.time_format import span

HELP = "stigmer help executions"
SEARCHED = " (searched were messages, outputs and errors)"


def make_query(cli: Cli, selection: Selection) -> Query:
    """The query for `selection`; raises ConfigError, which names the option, for a time that is none."""
    now = cli.clock.now()
    since = read_moment("--since", selection.since, now, hint=HELP)
    until = read_moment("--until", selection.until, now, hint=HELP)
    if since and until and since >= until:
        raise ConfigError(f"nothing lies between --since {_show(since)} and --until {_show(until)}", hint=HELP)
    return Query(
        phases=selection.phases,
        kinds=selection.kinds,
        agent=selection.agent,
        workflow=selection.workflow,
        session=selection.session,
        older_than_s=selection.older_than_s,
        labels=selection.labels,
        search=selection.search,
        since=since,
        until=until,
        is_waiting=selection.is_waiting,
    )


def is_everything(selection: Selection) -> bool:
    """Whether no option narrows `selection`."""
    return replace(selection, ids=()) == Selection()


def check_one_way(selection: Selection, *, is_selected: bool, hint: str) -> None:
    """Raise ConfigError where executions are both named and selected by options, or neither."""
    if bool(selection.ids) == is_selected:
        both = "name executions, or select them with options: not both"
        raise ConfigError(both if is_selected else "which executions? name them, or select them", hint=hint)


def describe_query(query: Query) -> str:
    """The options that lead to `query`, as they can be typed, and what is searched; empty if it selects all."""
    told = [f"--phase {phase}" for phase in query.phases]
    told += [f"--kind {kind}" for kind in query.kinds]
    told += ["--waiting"] if query.is_waiting else []
    told += [f"--agent {shlex.quote(query.agent)}"] if query.agent else []
    told += [f"--workflow {shlex.quote(query.workflow)}"] if query.workflow else []
    told += [f"--session {shlex.quote(query.session)}"] if query.session else []
    told += [f"--label {shlex.quote(label)}" for label in query.labels]
    told += [f"--search {shlex.quote(query.search)}"] if query.search else []
    told += [f"--older-than {span(query.older_than_s).replace(' ', '')}"] if query.older_than_s else []
    told += [f"--since '{_show(query.since)}'"] if query.since else []
    told += [f"--until '{_show(query.until)}'"] if query.until else []
    return " ".join(told) + (SEARCHED if query.search else "")


def _show(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %z}"
