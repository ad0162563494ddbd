"""Which names of models there are: `echo`, `echo:slow`, and `openai:NAME`."""

ECHO = "echo"
ECHO_SLOW = "echo:slow"
OPENAI = "openai"


def find_model_problem(name: str) -> str:
    """Why `name` names no model, as a sentence that says what to write; empty if it names one."""
    provider, _, rest = name.partition(":")
    if name in (ECHO, ECHO_SLOW):
        return ""
    if provider != OPENAI:
        return f"there is no model {name!r}: use {ECHO}, {ECHO_SLOW} or {OPENAI}:NAME"
    return "" if rest.strip() else f"the model {OPENAI}: has no name: write {OPENAI}:NAME"
