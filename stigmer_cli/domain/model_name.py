"""Which names of models there are: `echo`, `echo:slow`, `script:FILE`, and `PROVIDER:NAME`."""

from stigmer_cli.domain.model_provider import MEANT, PROVIDERS
from stigmer_cli.nearest import suggest_nearest

ECHO = "echo"
ECHO_SLOW = "echo:slow"
SCRIPT = "script:"
UNHOSTED = (ECHO, SCRIPT)
"""How the names of models begin that ask no provider."""

KNOWN = f"{ECHO}, {ECHO_SLOW}, {SCRIPT}FILE or PROVIDER:NAME (stigmer help agents)"


def find_model_problem(name: str) -> str:
    """Why `name` names no model, as a sentence that says what to write; empty if it names one."""
    provider, colon, rest = name.partition(":")
    if name in (ECHO, ECHO_SLOW):
        return ""
    if name.startswith(SCRIPT):
        return _find_script_problem(rest)
    if not colon or provider not in PROVIDERS:
        return f"there is no model {name!r}: use {KNOWN}{_suggest(name)}"
    return "" if rest.strip() else f"the model {provider}: has no name: write {provider}:NAME"


def _suggest(name: str) -> str:
    provider, colon, rest = name.partition(":")
    if meant := MEANT.get(provider.partition("-")[0] if not colon else provider):
        return f"; did you mean {meant}:{rest or name}?"
    return suggest_nearest(provider, PROVIDERS) if colon else ""


def _find_script_problem(file: str) -> str:
    """A server does not know to which folder a relative path belongs: `apply` does, and sends an absolute one."""
    if not file.strip():
        return f"the model {SCRIPT} names no file: write {SCRIPT}FILE"
    is_absolute = file.startswith("/") or file[1:3] in (":\\", ":/")
    return "" if is_absolute else f"the script {file!r} has no absolute path"
