"""What helps where a home cannot be made."""

import errno
import os
from pathlib import Path

import pytest

from stigmer_cli.stack.home import way_out

NOBODY = 65534
FORBIDDEN = PermissionError(errno.EACCES, "Permission denied")


def test_a_home_below_somebody_elses_folder_is_to_be_named_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container under an unknown user id, whose HOME is `/`: nothing is gained by `unset STIGMER_HOME`."""
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert way_out(Path("/.stigmer"), FORBIDDEN) == "export STIGMER_HOME=DIRECTORY"


def test_a_folder_of_ones_own_is_opened(tmp_path: Path) -> None:
    assert way_out(tmp_path, FORBIDDEN) == f"chmod u+rwx {tmp_path}"
