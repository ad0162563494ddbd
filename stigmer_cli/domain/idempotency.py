"""What the other side of a call may know it by: the same for each try of it, and another where it is made anew.

A call is tried again after a crash, by the retries of a workflow, and by `resume`. A person has it made anew, perhaps
with other arguments, with `resume --from`; then what it gave before does not count.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_RETRIED = re.compile(r"/retry/\d+/try(?=/)")
"""What the key of a step has of the retries around it: to the other side a retry is the same call once more."""


@dataclass(frozen=True, kw_only=True)
class CallGenerations:
    """How often calls of an execution were made anew: `present` times, as far as a call begins from now on.

    `kept` are those, by the keys of their steps without retries, that had begun before, and were not to be made anew.
    """

    present: int = 0
    kept: Mapping[str, int] = field(default_factory=dict)

    def find(self, key: str) -> int:
        """The generation of the step `key`, from 0."""
        return self.kept.get(strip_retries(key), self.present)


FIRST = CallGenerations()


def strip_retries(key: str) -> str:
    """The key of a step as it would be at the first try of each `try` around it."""
    return _RETRIED.sub("/try", key)


def idempotency_key(execution: str, key: str, generations: CallGenerations = FIRST) -> str:
    """What the other side of the step `key` may know it by.

    32 hexadecimal digits of SHA-256, a function of the execution's id, the step's key and its generation only.
    """
    generation = generations.find(key)
    anew = f"\0{generation}" if generation else ""
    return hashlib.sha256(f"stigmer-step\0{execution}\0{strip_retries(key)}{anew}".encode()).hexdigest()[:32]
