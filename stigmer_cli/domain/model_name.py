"""Which names of models there are: `echo`, `echo:slow`, `script:FILE`, and `openai:NAME`."""

ECHO = "echo"
ECHO_SLOW = "echo:slow"
SCRIPT = "script:"
OPENAI = "openai"
KNOWN = f"{ECHO}, {ECHO_SLOW}, {SCRIPT}FILE or {OPENAI}:NAME"


def find_model_problem(name: str) -> str:
    """Why `name` names no model, as a sentence that says what to write; empty if it names one."""
    provider, _, rest = name.partition(":")
    if name in (ECHO, ECHO_SLOW):
        return ""
    if name.startswith(SCRIPT):
        return _find_script_problem(rest)
    if provider != OPENAI:
        return f"there is no model {name!r}: use {KNOWN}"
    return "" if rest.strip() else f"the model {OPENAI}: has no name: write {OPENAI}:NAME"


def _find_script_problem(file: str) -> str:
    """A server does not know to which folder a relative path belongs: `apply` does, and sends an absolute one."""
    if not file.strip():
        return f"the model {SCRIPT} names no file: write {SCRIPT}FILE"
    is_absolute = file.startswith("/") or file[1:3] in (":\\", ":/")
    return "" if is_absolute else f"the script {file!r} has no absolute path"
