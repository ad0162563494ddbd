"""What may stand for an argument or behind an option, by the name that the help gives it: AGENT, ID, PART, ..."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stigmer_cli.cli.completion.request import ABOUT_MAX, Item
from stigmer_cli.cli.context import Cli

if TYPE_CHECKING:
    from typer._click import Context

PARTS = ("supervisor", "temporal", "server", "runner")
OPEN = ("PENDING", "IN_PROGRESS")
ACTING = frozenset({"cancel", "reconcile"})
"""The commands that act on open executions only."""

SHORT = (
    Item(value="@last", about="the newest execution"),
    Item(value="@last-failed", about="the newest execution that failed"),
)
END_MIN = 4
EXECUTION = re.compile("[a-z]+-[0-9a-z]{26}")
CHECK_ROW = re.compile(r"^\| (?P<code>STG\d+) \| (?P<category>\w+) \| (?P<name>[^|]+?) \|", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The word to complete, up to the cursor, and what stands before it."""

    cli: Cli
    context: "Context"
    current: str

    def is_given(self, value: str) -> bool:
        """Whether `value` stands before it already, as an argument that may be repeated."""
        return any(isinstance(given, list | tuple) and value in given for given in self.context.params.values())


def find_agents(asked: Asked) -> Iterable[Item]:
    """The agents, with their descriptions."""
    found = _fetch(asked, "/v1/agents?limit=200")
    return [Item(value=item["metadata"]["slug"], about=item["spec"]["description"]) for item in found["items"]]


def find_workflows(asked: Asked) -> Iterable[Item]:
    """The workflows, with their namespaces and versions; of those with a schedule, for a command about these."""
    parent = asked.context.parent
    if parent is not None and parent.info_name == "schedules":
        return find_scheduled(asked)
    found = _fetch(asked, "/v1/workflows?limit=100&brief=true")
    return [
        Item(value=one["name"], about=f"{one['namespace']} {one['version']}")
        for one in (item["metadata"] for item in found["items"])
    ]


def find_runnable(asked: Asked) -> Iterable[Item]:
    """What `run` takes: agents by name, and workflows with `workflow/` in front."""
    kind, slash, _name = asked.current.partition("/")
    agents = find_agents(asked) if kind == "agent" or not slash else ()
    workflows = find_workflows(asked) if kind == "workflow" or not slash else ()
    before = "agent/" if slash else ""
    return [
        *(Item(value=before + one.value, about=one.about) for one in agents),
        *(Item(value="workflow/" + one.value, about=one.about) for one in workflows),
    ]


def find_executions(asked: Asked) -> Iterable[Item]:
    """The newest executions, with agent, phase and age; only open ones for a command that acts on no others.

    The end of an id completes to the whole, if only one of them has it.
    """
    if asked.current.startswith("@"):
        return _find_short(asked)
    is_open = asked.context.info_name in ACTING
    found = _fetch(asked, "/v1/executions:names?limit=200" + "".join(f"&phase={one}" for one in OPEN if is_open))
    items = [
        Item(value=one["id"], about=f"{one['agent']}, {one['phase']}, {_age(one['createdAt'], found['now'])} ago")
        for one in found["items"]
    ]
    if any(item.value.startswith(asked.current) for item in items):
        return items
    ending = [item for item in items if len(asked.current) >= END_MIN and item.value.endswith(asked.current.lower())]
    return [Completed(value=item.value, about=item.about) for item in ending] if len(ending) == 1 else ()


def _find_short(asked: Asked) -> Iterable[Item]:
    """The names of the newest ones; behind the colon, with each agent."""
    short, colon, _ = asked.current.partition(":")
    if not colon:
        return SHORT
    return [
        Item(value=f"{one.value}:{agent.value}", about=f"{one.about}, of {agent.value}")
        for one in SHORT
        if one.value == short
        for agent in find_agents(asked)
    ]


def find_steps(asked: Asked) -> Iterable[Item]:
    """The keys of the steps of the execution that stands before it with its whole id."""
    execution = asked.context.params.get("execution")
    if not isinstance(execution, str) or not EXECUTION.fullmatch(execution):
        return ()
    found = _fetch(asked, f"/v1/executions/{execution}/steps?limit=200")
    return [Item(value=one["key"], about=f"{one['name']}, {one['state']}") for one in found["items"]]


class Completed(Item):
    """A value that is offered although it does not begin with what was typed."""


def find_secrets(asked: Asked) -> Iterable[Item]:
    """The names of the secrets."""
    return [Item(value=item["name"]) for item in _fetch(asked, "/v1/secrets")["items"]]


def find_sessions(asked: Asked) -> Iterable[Item]:
    """The sessions that were used last, with their agents and the beginning of the last message."""
    found = _fetch(asked, "/v1/sessions?limit=200")["items"]
    return [Item(value=one["name"], about=f"{one['agentName']}: {one['last']['message']}") for one in found]


def find_scheduled(asked: Asked) -> Iterable[Item]:
    """The workflows that have a schedule, with that."""
    return [Item(value=one["workflow"], about=one["text"]) for one in _fetch(asked, "/v1/schedules")["items"]]


def find_parts(asked: Asked) -> Iterable[Item]:
    """The parts of a stack; no command restarts the supervisor alone."""
    names = PARTS[1:] if asked.context.info_name == "restart" else PARTS
    return [Item(value=name) for name in names]


def find_checks(asked: Asked) -> Iterable[Item]:
    """The codes of the checks with their names, and for options the categories."""
    from stigmer_cli.cli.help.topics import read_page  # noqa: PLC0415

    # The page has a row for each check, which a test ensures; the checks themselves take three times as long to import.
    rows = list(CHECK_ROW.finditer(read_page("doctor")))
    codes = [Item(value=row["code"], about=row["name"]) for row in rows]
    if asked.context.info_name == "explain":
        return codes
    categories = dict.fromkeys(row["category"] for row in rows)
    return [*codes, *(Item(value=name, about=f"all checks of this category: {name}") for name in categories)]


def find_settings(_asked: Asked) -> Iterable[Item]:
    """The names of the settings, and what they mean."""
    from stigmer_cli.options import OPTIONS  # noqa: PLC0415

    return [Item(value=option.name, about=option.about) for option in OPTIONS]


def find_setting_values(asked: Asked) -> Iterable[Item] | None:
    """The values of the setting that is named before; None: a file."""
    from stigmer_cli.options import BY_NAME  # noqa: PLC0415

    option = BY_NAME.get(str(asked.context.params.get("name")))
    if option is None:
        return ()
    return None if option.is_file else [Item(value=value) for value in option.values]


def find_topics(asked: Asked) -> Iterable[Item]:
    """The pages of the manual and the commands; behind a command, its own commands."""
    from stigmer_cli.cli.help.topics import TOPICS, read_summary  # noqa: PLC0415

    root: Any = asked.context.find_root().command
    given: Sequence[str] = asked.context.params.get("words") or ()
    pages = [] if given else [Item(value=topic, about=read_summary(topic)) for topic in TOPICS]
    for word in given:
        root = getattr(root, "commands", {}).get(word)
    commands = getattr(root, "commands", {})
    return [*pages, *(Item(value=name, about=one.get_short_help_str(ABOUT_MAX)) for name, one in commands.items())]


def find_nothing(_asked: Asked) -> Iterable[Item]:
    """Nothing: only the person knows it."""
    return ()


def find_files(_asked: Asked) -> None:
    """Files: the shell offers them itself."""


Find = Callable[[Asked], Iterable[Item] | None]
VALUES: Mapping[str, Find] = {
    "AGENT": find_agents,
    "TARGET": find_runnable,
    "WORKFLOW": find_workflows,
    "ID": find_executions,
    "STEP": find_steps,
    "PART": find_parts,
    "SECRET": find_secrets,
    "SESSION": find_sessions,
    "CODE": find_checks,
    "NAME": find_settings,
    "VALUE": find_setting_values,
    "TOPIC": find_topics,
    "FILE": find_files,
    "DIRECTORY": find_files,
    **dict.fromkeys(
        (
            "CURSOR",
            "HOST:PORT",
            "JSON",
            "K=V",
            "KEY",
            "LABEL",
            "LIMIT",
            "MESSAGE",
            "N",
            "PORT",
            "SPAN",
            "TEXT",
            "TIME",
            "TYPE",
            "URL",
        ),
        find_nothing,
    ),
}
"""By metavar, without the brackets and dots around it. None from one of them: files. What has choices needs no row."""


def _fetch(asked: Asked, path: str) -> dict[str, Any]:
    from stigmer_cli.cli.completion.live import fetch  # noqa: PLC0415 - sockets and settings, for live values only

    return fetch(asked.cli, path) or {"items": [], "now": None}


def _age(created_at: str, now: str | None) -> str:
    from stigmer_cli.time_format import ago  # noqa: PLC0415

    created = datetime.fromisoformat(created_at)
    return ago(created, datetime.fromisoformat(now) if now else created)
