"""Whether a CI job has typed the command: it may have a pseudo-terminal, and nobody is there to answer a question."""

from collections.abc import Mapping

CI_VARIABLES = ("CI", "BUILD_NUMBER", "TF_BUILD")
"""Set by most CI systems; by Jenkins and TeamCity; by Azure Pipelines."""

UNSET = frozenset({"", "0", "false", "no", "off"})


def find_ci_variable(environ: Mapping[str, str]) -> str | None:
    """The variable by which a CI system makes itself known; None at a person's terminal."""
    return next((name for name in CI_VARIABLES if environ.get(name, "").strip().lower() not in UNSET), None)
