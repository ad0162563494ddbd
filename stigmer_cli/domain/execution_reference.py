"""The short ways to name an execution: a part of its id, or the newest one."""

import re
from dataclasses import dataclass

from stigmer_cli.domain.identity import ID_PATTERN, PREFIXES, is_id
from stigmer_cli.errors import RequestError

PART_MIN = 4
"""Characters of an id, without its `aex-`, that a reference has at least."""

ULID_LENGTH = 26
REFERENCE_MAX = 128
"""Characters: `@last-failed:` and an agent's name."""

FORMS = "a full id, four or more characters of its beginning or end, @last, @last-failed, or @last:AGENT"

_PART = re.compile(rf"(?:(?P<prefix>{'|'.join(PREFIXES.values())})-)?(?P<part>[0-9a-z]{{0,{ULID_LENGTH}}})")
_NEWEST = re.compile(r"@last(?P<failed>-failed)?(?::(?P<agent>.+))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class IdPart:
    """The beginning or the end of an id. With `prefix`, the kind's three letters, only its beginning."""

    part: str
    prefix: str | None

    @property
    def beginnings(self) -> tuple[str, ...]:
        """What a matching id begins with, one for each kind."""
        return tuple(f"{prefix}-{self.part}" for prefix in ([self.prefix] if self.prefix else PREFIXES.values()))

    @property
    def end(self) -> str | None:
        """What a matching id may end with instead; None: its beginning was typed."""
        return None if self.prefix else self.part


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest execution, or the newest that failed, of all agents or of one, by name or id."""

    is_failed: bool
    agent: str | None


Reference = IdPart | Newest


def parse_reference(text: str) -> Reference:
    """What `text` refers to; upper case counts as lower. Raises RequestError, which says what can be written.

    Spaces around it do not count, nor the CR of a line that was written on Windows.
    """
    text = text.strip()
    if found := _NEWEST.fullmatch(text):
        return Newest(is_failed=found["failed"] is not None, agent=found["agent"])
    found = _PART.fullmatch(text.lower())
    if found is None:
        raise _refuse(f"{text[:REFERENCE_MAX]!r} is not an execution id or a part of one")
    if len(found["part"]) < PART_MIN:
        raise _refuse(f"{text!r} is too short for a part of an execution id")
    return IdPart(part=found["part"], prefix=found["prefix"])


def check_reference(text: str) -> str:
    """The full id that `text` is, or the reference as it is; raises RequestError for anything else."""
    text = text.strip()
    if is_id(text):
        return text
    if ID_PATTERN.fullmatch(text.lower()):
        return text.lower()
    parse_reference(text)
    return text


def _refuse(what: str) -> RequestError:
    return RequestError(f"{what}: write {FORMS}", hint="stigmer executions list")
