"""What a person asks `stigmer doctor` for; cheap to import, for every command line names it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """Which checks, by code or category, how strictly they are counted, and what is done beside telling.

    `waits_s`: for how many seconds to wait until they are well; None: not at all. `bundle`: where the archive goes.
    """

    only: Sequence[str]
    skip: Sequence[str]
    waits_s: float | None
    bundle: Path | None
    is_repaired: bool
    is_strict: bool
    is_verbose: bool
