"""Puts each mutant of the bank into a copy of the package and demands that a test notices: python -m tests.bugs.run."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bugs.bank import BANK
from tests.bugs.mutant import Mutant

ROOT = Path(__file__).parent.parent.parent
RUN_MAX_S = 240


def copied(folder: Path) -> Path:
    """A copy of package and tests."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("stigmer_cli", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def seeded(mutant: Mutant, folder: Path) -> Path:
    """A copy of package and tests with `mutant` in it."""
    copy = copied(folder)
    file = copy / "stigmer_cli" / mutant.file
    text = file.read_text()
    assert text.count(mutant.old) == 1, (
        f"{mutant.name}: its old text stands {text.count(mutant.old)} times in {mutant.file}"
    )
    file.write_text(text.replace(mutant.old, mutant.new))
    return copy


def catches(copy: Path, tests: str) -> str:
    """The first test of `tests` that fails in `copy`; empty if none does."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout=60", tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            timeout=RUN_MAX_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{tests} (it never ended)"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == 1 and failed:
        return failed[0].removeprefix("FAILED ").split(" - ")[0]
    if done.returncode != 0:
        return f"{tests} (pytest ended with {done.returncode})"
    return ""


def caught(mutant: Mutant, folder: Path) -> str:
    """What catches `mutant`; empty if nothing does."""
    copy = seeded(mutant, folder)
    for tests in mutant.caught_by:
        found = catches(copy, tests)
        if found:
            return found
    return ""


def sound(folder: Path, mutants: Sequence[Mutant]) -> bool:
    """Whether the tests that have to catch `mutants` pass where there is none."""
    copy = copied(folder)
    names = sorted({tests for mutant in mutants for tests in mutant.caught_by})
    failed = [found for tests in names if (found := catches(copy, tests))]
    print(*(f"fails without any mutant: {found}" for found in failed), sep="\n", end="")
    return not failed


def main() -> int:
    """0 if every mutant is caught, 2 if a test fails without any mutant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose names hold one of these")
    words = parser.parse_args().words
    missed = 0
    mutants = [mutant for mutant in BANK if not words or any(word in mutant.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        if not sound(Path(name), mutants):
            return 2
        for mutant in mutants:
            begun = time.monotonic()
            found = caught(mutant, Path(name))
            missed += not found
            print(f"{mutant.name:<52} {time.monotonic() - begun:6.1f} s  {found or 'NOT CAUGHT'}", flush=True)
    print(f"{missed} not caught" if missed else "every mutant is caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
