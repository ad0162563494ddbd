"""What a request for an execution may say about itself."""

import pytest
from pydantic import ValidationError

from stigmer_cli.api.resources import ExecutionRequest


@pytest.mark.parametrize("ulid", ["01m8a4jz3cd7c8bz7kg9nfxrgr", "0" * 26, "7" + "z" * 25])
def test_an_id_of_the_form_of_ours_is_taken(ulid: str) -> None:
    assert ExecutionRequest(agent="a", message="m", id=f"aex-{ulid}").id == f"aex-{ulid}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "aex-",
        f"aex-{'0' * 25}",
        f"aex-{'0' * 27}",
        f"wex-{'0' * 26}",
        f"aex-{'8' * 26}",
        f"aex-{'0' * 25}i",
        f"aex-{'0' * 25}l",
        f"aex-{'0' * 25}o",
        f"aex-{'0' * 25}u",
        f"aex-{'0' * 25}A",
        f"aex-{'0' * 26}\n",
        f" aex-{'0' * 26}",
        "aex-../../../../../../../etc/x",
    ],
)
def test_any_other_id_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ExecutionRequest(agent="a", message="m", id=name)
