"""The bank of seeded bugs fits the code as it is, and, with --slow, every one of them is caught."""

from pathlib import Path

import pytest

from tests.bugs.bank import BANK
from tests.bugs.bug import Bug
from tests.bugs.run import ROOT, caught


@pytest.mark.parametrize("bug", BANK, ids=lambda bug: bug.name)
def test_a_bug_can_be_put_into_the_code_and_its_tests_are_there(bug: Bug) -> None:
    text = (ROOT / "stigmer_cli" / bug.file).read_text()
    assert text.count(bug.old) == 1
    compile(text.replace(bug.old, bug.new), bug.file, "exec")
    assert bug.new != bug.old
    for tests in bug.caught_by:
        assert (ROOT / tests).is_file()


def test_the_bank_is_as_large_as_it_was() -> None:
    assert len({bug.name for bug in BANK}) == len(BANK) >= 12


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BANK, ids=lambda bug: bug.name)
def test_a_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    assert caught(bug, tmp_path)
