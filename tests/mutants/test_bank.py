"""The mutants fit the code as it is, and, with --slow, a test catches each of them."""

from pathlib import Path

import pytest

from tests.mutants.bank import BANK
from tests.mutants.mutant import Mutant
from tests.mutants.run import ROOT, catch_mutant


@pytest.mark.parametrize("mutant", BANK, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_and_its_tests_exist(mutant: Mutant) -> None:
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
def test_a_mutant_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    assert catch_mutant(mutant, tmp_path)
