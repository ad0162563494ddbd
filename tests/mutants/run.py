"""Put each mutant into a copy of the package, and check that a test fails: python -m tests.mutants.run."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.bank import BANK
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parent.parent.parent
RUN_MAX_S = 240


def copy_project(folder: Path) -> Path:
    """Copy package and tests into `folder`; returns the folder of the copy."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("stigmer_cli", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def plant(mutant: Mutant, folder: Path) -> Path:
    """Copy package and tests into `folder`, with `mutant` in them; returns the folder of the copy."""
    copy = copy_project(folder)
    file = copy / "stigmer_cli" / mutant.file
    text = file.read_text()
    assert text.count(mutant.old) == 1, (
        f"{mutant.name}: its old text occurs {text.count(mutant.old)} times in {mutant.file}"
    )
    file.write_text(text.replace(mutant.old, mutant.new))
    return copy


def first_failure(copy: Path, tests: str) -> str:
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
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
    if done.returncode == 1 and failed:
        return failed[0].split(" - ")[0].split(" ", 1)[1]
    if done.returncode != 0:
        return f"{tests} (pytest ended with {done.returncode})"
    return ""


def catch_mutant(mutant: Mutant, folder: Path) -> str:
    """Return the test that catches `mutant`; empty if none does."""
    copy = plant(mutant, folder)
    for tests in mutant.caught_by:
        found = first_failure(copy, tests)
        if found:
            return found
    return ""


def do_tests_pass(folder: Path, mutants: Sequence[Mutant]) -> bool:
    """Whether the tests that must catch `mutants` pass on the unchanged package."""
    copy = copy_project(folder)
    names = sorted({tests for mutant in mutants for tests in mutant.caught_by})
    failed = [found for tests in names if (found := first_failure(copy, tests))]
    print(*(f"fails on the unchanged package: {found}" for found in failed), sep="\n", end="")
    return not failed


def main() -> int:
    """0 if every mutant is caught, 1 if not, 2 if a test fails on the unchanged package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose names hold one of these")
    words = parser.parse_args().words
    missed = 0
    mutants = [mutant for mutant in BANK if not words or any(word in mutant.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        if not do_tests_pass(Path(name), mutants):
            return 2
        for mutant in mutants:
            begun = time.monotonic()
            found = catch_mutant(mutant, Path(name))
            missed += not found
            print(f"{mutant.name:<52} {time.monotonic() - begun:6.1f} s  {found or 'NOT CAUGHT'}", flush=True)
    print(f"{missed} not caught" if missed else "every mutant is caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
