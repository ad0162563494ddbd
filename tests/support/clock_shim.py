"""Sets the wall clock of single processes while they run, by a library that is preloaded into them (clock_shim.c).

The machine's own clock stays as it is, and with it that of every other process; Temporal's, too, in any case: a Go
program reads the clock without libc.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PARTS = ("server", "runner", "supervisor", "command")
NS = 1_000_000_000
SOURCE = Path(__file__).with_suffix(".c")


@cache
def _compiled() -> bytes:
    """The library, compiled once for all tests of this process."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert sys.platform == "linux", "the shim is for Linux"
    assert compiler, "a C compiler builds the shim"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "clock_shim.so"
        subprocess.run(
            [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True
        )
        return library.read_bytes()


class ClockShim:
    """The clocks of the parts that are started with `environment`; each goes right until it is set."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clocks"
        self._folder.mkdir()
        self._library = self._folder / "clock_shim.so"
        self._library.write_bytes(_compiled())
        for part in PARTS:
            (self._folder / part).write_bytes(struct.pack("=qq", 0, 0))

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process has to be started with."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIM": str(self._folder)}

    def set(self, part: str, ahead_s: float) -> None:
        """From now on the clock of `part` is ahead of the machine's by so much, what it slept aside."""
        self._write(part, 0, ahead_s)

    def suspend(self, part: str, for_s: float) -> None:
        """The machine of `part` has, in all, been suspended for so long."""
        self._write(part, 1, for_s)

    def _write(self, part: str, place: int, seconds: float) -> None:
        assert part in PARTS
        with (self._folder / part).open("r+b") as file:
            file.seek(place * struct.calcsize("=q"))
            file.write(struct.pack("=q", int(seconds * NS)))
