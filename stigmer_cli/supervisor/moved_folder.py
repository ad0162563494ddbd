"""A supervisor whose folder gets another path while it runs, as by `mv` of the project that it lies in."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from stigmer_cli.supervisor.spec import ChildSpec, SupervisorSpec

TAIL_MIN = 2
"""Names at the end of the path that are as before: the folder's own, and that of the home which it belongs to.

Whoever renames the home has set it aside, and means to begin another one in its place.
"""

TRASH = re.compile(r"/(?:Trash/files|\.Trashes|\.Trash(?:-\d+)?)(?:/|$)")
"""Where desktops move what is deleted (freedesktop.org, Trash specification; macOS)."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """The folder `before` is `now`. So are its home, and what lay beside that under `root_before` and is gone there."""

    before: Path
    now: Path
    root_before: Path
    root_now: Path

    @classmethod
    def between(cls, before: Path, now: Path) -> Self | None:
        """The move by which the folder `before` became `now`; None where that is to be taken for its removal."""
        tail = 0
        for old, new in zip(reversed(before.parts), reversed(now.parts), strict=False):
            if old != new:
                break
            tail += 1
        if tail < TAIL_MIN or TRASH.search(str(now)):
            return None
        return cls(before=before, now=now, root_before=before.parents[tail - 1], root_now=now.parents[tail - 1])

    def path(self, path: Path) -> Path:
        """Where `path` is now."""
        home = self.before.parent
        if path.is_relative_to(home):
            return self.now.parent / path.relative_to(home)
        if path.is_relative_to(self.root_before) and not path.exists():
            return self.root_now / path.relative_to(self.root_before)
        return path

    def text(self, text: str) -> str:
        """`text` with each path in it, alone or between colons, as it is now."""
        return ":".join(self._word(word) for word in text.split(":"))

    def child(self, spec: ChildSpec) -> ChildSpec:
        """`spec` with its paths as they are now."""
        return replace(
            spec,
            argv=tuple(self.text(word) for word in spec.argv),
            env={name: self.text(value) for name, value in spec.env.items()},
            cwd=self.path(spec.cwd),
            log=self.path(spec.log),
        )

    def supervisor(self, spec: SupervisorSpec) -> SupervisorSpec:
        """`spec` with its own paths as they are now; those of its children are left to `child`."""
        return replace(spec, folder=self.path(spec.folder), log=self.path(spec.log))

    def _word(self, word: str) -> str:
        slashes = len(word) - len(word.lstrip("/"))
        if slashes in (0, len("//")):  # no path, or the host of a URL
            return word
        path = Path(word[slashes - 1 :])  # a URL has more of them: sqlite:////srv/x.db
        now = self.path(path)
        return word if now == path else f"{word[: slashes - 1]}{now}"
