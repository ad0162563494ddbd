"""What tools are and what calls of them return, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stigmer_cli.domain.step import Effect
from stigmer_cli.errors import Unavailable

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

KEY_IN_META = "stigmer/idempotency-key"
"""Where a call carries its idempotency key, in `_meta`: the same for each try of one call, and for no other."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool of a server; `schema` is the JSON Schema of its arguments, `effect` what calling it twice would do.

    `needs_approval`: a person has to approve each call of it first.
    """

    name: str
    description: str
    schema: Mapping[str, Json]
    effect: Effect
    needs_approval: bool = False


@dataclass(frozen=True, kw_only=True)
class ToolAnswer:
    """What a call returned: the result as the server sent it, whose `isError` says that the tool itself failed."""

    wire: Mapping[str, Json]


class ToolServerAway(Unavailable):
    """A server cannot be started or reached, or does not answer; the message is a sentence that names it.

    `was_sent`: a call may have reached it. `is_slow`: it had as much time to start as it may have. `retry_after_s`: how
    long the server asks to wait.
    """

    code = "tool-server-away"

    def __init__(
        self, message: str, *, was_sent: bool = False, is_slow: bool = False, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.was_sent = was_sent
        self.is_slow = is_slow
