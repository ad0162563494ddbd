"""The models of an execution, its journal, and who talks to whom hold, and break where an ingredient is taken away."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [tool for tool in ("spin", "gcc", "bash") if shutil.which(tool) is None]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(MISSING), reason=f"the model needs {', '.join(MISSING)} (Debian: apt install spin gcc)")
def test_the_design_holds_and_without_any_of_its_ingredients_it_breaks() -> None:
    done = subprocess.run([str(HERE / "check.sh")], capture_output=True, text=True, timeout=590, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("holds  (expected: holds)") == 21
    assert done.stdout.count("breaks (expected: breaks)") == 21
