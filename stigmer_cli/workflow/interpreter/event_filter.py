"""Filters of events: what `with` and `correlate` of a task ask for, and whether an event fits.

Attributes, and data that is given as an object, are compared with what is written there; expressions in them see what
those of the task see. `data` that is one expression is a condition, and sees the data of the event.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from stigmer_cli.domain.event import EQUALS_MAX, EventQuery, write_scalar
from stigmer_cli.json_text import dump_json
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import ExpressionFailed
from stigmer_cli.workflow.expression.syntax import OPEN, unwrap
from stigmer_cli.workflow.interpreter.run import Run, Visit
from stigmer_cli.workflow.interpreter.scope import Scope
from stigmer_cli.workflow.json_value import Json

PATTERN = re.compile(r"[\\*+?\[\](){}^$|]")
"""A text with one of these may be a regular expression; a dot alone makes none."""

PLACE = re.compile(r"\.[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
"""An expression that only says where in the event something is."""

MATCHES = 'try (.[0] | test("^(?:" + $pattern + ")$")) catch false'
SEARCHED = ("type", "source", "subject")

Correlated = Mapping[str, str]
"""The values that were found first, by the name of the correlation."""


@dataclass(frozen=True, kw_only=True)
class _Correlation:
    """`code` finds a value in the event, which is to be `expected`; None: what was found first."""

    name: str
    code: str
    expected: str | None


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """One filter, with the expressions in it evaluated that do not look at the event."""

    attributes: Mapping[str, str]
    condition: str | None
    data: Json
    has_data: bool
    correlations: Sequence[_Correlation]

    def make_query(self, known: Correlated) -> EventQuery:
        """What an event must have at least, to be looked at more closely."""
        literal = {name: text for name, text in self.attributes.items() if not PATTERN.search(text)}
        equals: list[tuple[tuple[str, ...], str]] = list(_list_scalars(self.data, ("data",))) if self.has_data else []
        for one in self.correlations:
            expected = one.expected if one.expected is not None else known.get(one.name)
            if expected is not None and PLACE.fullmatch(one.code):
                equals.append((tuple(one.code[1:].split(".")), expected))
        return EventQuery(
            **{name: literal[name] for name in SEARCHED if name in literal}, equals=tuple(equals[:EQUALS_MAX])
        )

    async def find_fit(self, run: Run, scope: Scope, event: Mapping[str, Json], known: Correlated) -> Correlated | None:
        """The correlations that are known once `event` is taken; None where it does not fit."""
        if not self.make_query(known).fits(event):
            return None
        for name, wanted in self.attributes.items():
            if not await _is_like(run, event.get(name), wanted):
                return None
        if self.condition is not None and not await _holds(run, scope, self.condition, event.get("data")):
            return None
        if self.has_data and not _contains(event.get("data"), self.data):
            return None
        return await self._correlate(run, scope, event, known)

    async def _correlate(
        self, run: Run, scope: Scope, event: Mapping[str, Json], known: Correlated
    ) -> Correlated | None:
        found = dict(known)
        for one in self.correlations:
            text = _write(await _evaluate(run, scope, one.code, event))
            expected = one.expected if one.expected is not None else found.setdefault(one.name, text or "")
            if text is None or text != expected:
                return None
        return found


async def make_filter(run: Run, visit: Visit, declared: Json) -> EventFilter:
    """The filter that the document declares. Raises WorkflowError for an expression that fails."""
    holder = cast("Mapping[str, Json]", declared)
    wanted = dict(cast("Mapping[str, Json]", holder["with"]))
    has_data = "data" in wanted
    data = wanted.pop("data", None)
    condition = unwrap(data) if isinstance(data, str) and _is_code(run, data) else None
    attributes = cast("Mapping[str, Json]", await run.fill(wanted, visit.input, visit.scope))
    return EventFilter(
        attributes={name: _write(value) or "" for name, value in attributes.items()},
        condition=condition,
        data=None if condition is not None else await run.fill(data, visit.input, visit.scope),
        has_data=has_data and condition is None,
        correlations=[
            await _make_correlation(run, visit, name, correlation)
            for name, correlation in cast("Mapping[str, Mapping[str, str]]", holder.get("correlate") or {}).items()
        ],
    )


def _is_code(run: Run, text: str) -> bool:
    mode = cast("Mapping[str, Json]", run.workflow.data.get("evaluate") or {}).get("mode")
    return text.strip().startswith(OPEN) or mode == "loose"


async def _make_correlation(run: Run, visit: Visit, name: str, declared: Mapping[str, str]) -> _Correlation:
    expected: str | None = None
    if "expect" in declared:
        expected = _write(await run.fill(declared["expect"], visit.input, visit.scope)) or ""
    return _Correlation(name=name, code=unwrap(declared["from"]), expected=expected)


async def _is_like(run: Run, value: Json, wanted: str) -> bool:
    """Whether the text of `value` is `wanted`, or what it describes as a regular expression."""
    text = write_scalar(value)
    if text is None or text == wanted or not PATTERN.search(wanted):
        return text == wanted
    try:
        return await run.evaluator.evaluate(MATCHES, [text], {"pattern": wanted}) is True
    except ExpressionFailed:  # it takes too long
        return False


async def _holds(run: Run, scope: Scope, condition: str, data: Json) -> bool:
    """Whether the value of `condition` is true, or is the data itself."""
    value = await _evaluate(run, scope, condition, data)
    return value if isinstance(value, bool) else value is not None and value == data


async def _evaluate(run: Run, scope: Scope, code: str, on: Json) -> Json:
    """The value; None where there is none: an event of another shape does not fit, and is no fault of the workflow."""
    try:
        return await run.evaluate(code, on, scope)
    except WorkflowError:
        return None


def _write(value: Json) -> str | None:
    """A scalar as text; anything else as JSON, and None for null."""
    text = write_scalar(value)
    return text if text is not None or value is None else dump_json(value, is_canonical=True)


def _contains(value: Json, wanted: Json) -> bool:
    """Whether `value` is `wanted`, or an object that has at least what is in `wanted`."""
    if not isinstance(wanted, Mapping):
        return value == wanted or (write_scalar(wanted) is not None and write_scalar(value) == write_scalar(wanted))
    return isinstance(value, Mapping) and all(
        name in value and _contains(value[name], inner) for name, inner in wanted.items()
    )


def _list_scalars(wanted: Json, path: tuple[str, ...]) -> Sequence[tuple[tuple[str, ...], str]]:
    if isinstance(wanted, Mapping):
        return [found for name, inner in wanted.items() for found in _list_scalars(inner, (*path, name))]
    text = write_scalar(wanted)
    return [] if text is None else [(path, text)]
