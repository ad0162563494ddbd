"""The options of `stigmer doctor`; cheap to import, because every command line imports it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """Which checks run, by code or category, how they are counted, and what is done besides reporting.

    `waits_s`: for how many seconds to wait until all are healthy; None: not at all. `bundle`: the archive's path.
    """

    only: Sequence[str]
    skip: Sequence[str]
    waits_s: float | None
    bundle: Path | None
    is_repaired: bool
    is_strict: bool
    is_verbose: bool
