"""A mutant as data: one exact change of one file, and the tests of which at least one must then fail."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`old` occurs exactly once in `file` of the package; `new` replaces it."""

    name: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]
