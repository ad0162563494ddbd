"""What the expressions of a task can see."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from stigmer_cli.workflow.json_value import Json


@dataclass(kw_only=True)
class Context:
    """The workflow's context, which `export` replaces. A branch of a fork has one of its own.

    `taken` has the numbers of the events that tasks have taken: a later task takes other ones, and branches at the same
    time may take the same.
    """

    value: Json = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)

    def branch(self) -> "Context":
        """The context of a branch that begins now."""
        return Context(value=self.value, taken=set(self.taken))

    def restore(self, before: "Context") -> None:
        """Forget what was changed since `before` was made of it."""
        self.value, self.taken = before.value, set(before.taken)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The variables at one place of a workflow: those of loops and catches around it, and its context.

    `is_extension`: a task around it is in an extension.
    """

    context: Context
    variables: Mapping[str, Json] = field(default_factory=lambda: {"authorization": None})
    is_extension: bool = False

    def bind(self, /, **variables: Json) -> "Scope":
        """The same, in which these variables have new values."""
        return replace(self, variables={**self.variables, **variables})

    def enter(self, described: Json) -> "Scope":
        """The scope of a task in it. `$task` is that task; in an extension it stays the one that is extended."""
        return self if self.is_extension else self.bind(task=described)

    def list_values(self) -> Mapping[str, Json]:
        """All variables with their values of this moment."""
        return {**self.variables, "context": self.context.value}


def merge_contexts(before: Json, branches: list[Json]) -> Json:
    """The context after a fork: what each branch changed in it, in the order of the branches.

    That order is the same on every replay, whichever branch was faster. Keys that a branch removed stay.
    """
    merged = before
    for changed in branches:
        if changed == before:
            continue
        if isinstance(changed, dict) and isinstance(before, dict) and isinstance(merged, dict):
            news = {key: value for key, value in changed.items() if key not in before or before[key] != value}
            merged = {**merged, **news}
        else:
            merged = changed
    return merged


def describe_moment(ms: int) -> Json:
    """A moment as the specification describes one to expressions."""
    written = datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"iso8601": written, "epoch": {"seconds": ms // 1_000, "milliseconds": ms}}
