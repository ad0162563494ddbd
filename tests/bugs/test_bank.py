"""The bank of mutants fits the code as it is, and, with --slow, every one of them is caught."""

from pathlib import Path

import pytest

from tests.bugs.bank import BANK
from tests.bugs.mutant import Mutant
from tests.bugs.run import ROOT, caught


@pytest.mark.parametrize("mutant", BANK, ids=lambda mutant: mutant.name)
def test_a_bug_can_be_put_into_the_code_and_its_tests_are_there(mutant: Mutant) -> None:
    text = (ROOT / "stigmer_cli" / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert mutant.new != mutant.old
    for tests in mutant.caught_by:
        assert (ROOT / tests).is_file()


def test_the_bank_is_as_large_as_it_was() -> None:
    assert len({mutant.name for mutant in BANK}) == len(BANK) >= 12


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", BANK, ids=lambda mutant: mutant.name)
def test_a_bug_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    assert caught(mutant, tmp_path)
