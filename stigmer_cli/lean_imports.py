"""Imports without what is never used: that was a third of the time that a part takes to start.

A command postpones what hardly any command comes to, and a part goes without what it cannot need.
"""

import dataclasses
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

USUAL = gc.get_threshold()
FIRST_COLLECTION = 250_000
"""So many objects a command makes before Python first looks for garbage: more than most commands ever make."""

TERMINAL = ("rich", "pygments")
"""Libraries that print on a terminal; who imports them has a way without them."""

GRPC = ("grpc",)
"""What Temporal's SDK has stubs for if it is installed, and never uses: it speaks gRPC by itself."""

PRETTY_PRINTERS = ("rich.pretty", "rich.traceback")
"""What structlog imports of rich, and does without where it is not found; no table is printed with it."""

COMPILE = "_create_fn"
"""The function by which Python 3.11 and 3.12 compile each method of a dataclass; 3.13 compiles them together."""

DEFER: Literal["defer_build"] = "defer_build"

POSTPONED = frozenset({"__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"})
"""The methods of a dataclass that hardly any of them ever uses; the last two are those that refuse a change."""

Method = Callable[..., Any]


COMMAND_OF_HTTPX = "httpx._main"
"""The command line of httpx, which comes with it wherever click and rich are installed: half of the time it takes."""


OLD_PYDANTIC = "pydantic.v1"
"""The library as it was years ago, which FastAPI imports to see that no model is one of it."""


def skip_command_of_httpx() -> None:
    """Have httpx do without its own command line, as it does where that cannot be imported."""
    sys.modules.setdefault(COMMAND_OF_HTTPX, None)  # type: ignore[arg-type] # a module that cannot be imported


def skip_old_pydantic() -> None:
    """Have FastAPI take it that no model is one of `OLD_PYDANTIC`, as it does where that cannot be imported."""
    sys.modules.setdefault(OLD_PYDANTIC, None)  # type: ignore[arg-type]


def postpone_collections() -> None:
    """Have Python look for garbage less often, as suits a process that soon ends."""
    gc.set_threshold(FIRST_COLLECTION, *USUAL[1:])


def postpone_methods() -> None:
    """Have Python compile the `POSTPONED` methods of dataclasses when they are first called, in this process.

    Measured on Python 3.11: 8 % of what the server imports, 12 % of the runner, 20 % of `up`, 5 % of a completion.
    """
    usual: Callable[..., Method] | None = getattr(dataclasses, COMPILE, None)
    if usual is None or getattr(usual, "__module__", "") == __name__:
        return

    def compile_or_postpone(name: str, *arguments: object, **options: object) -> Method:
        if name not in POSTPONED:
            return usual(name, *arguments, **options)
        return _postpone(name, lambda: usual(name, *arguments, **options))

    setattr(dataclasses, COMPILE, compile_or_postpone)


@contextmanager
def lean_imports(*, without: Sequence[str] = ()) -> Iterator[None]:
    """Import the modules of a part in here; afterwards garbage is collected as usual.

    - Python collects no garbage meanwhile, and never looks through what was imported: there is none in it, and each
      look at a hundred thousand live objects takes time.
    - structlog and httpx do not find what they would print on a terminal with, and do without; a part logs JSON.
      Temporal's SDK does without another library for gRPC. Nor does anybody find what is named in `without`.
    """
    gc.disable()
    with ExitStack() as stack:
        stack.callback(gc.enable)
        stack.callback(gc.freeze)  # else there would be so much that is new that Python looks through it at once
        stack.callback(gc.set_threshold, *USUAL)
        stack.enter_context(hidden([*TERMINAL, *GRPC, *without]))
        yield


@contextmanager
def late_imports() -> Iterator[None]:
    """Import a large library in here while a part is at work, in a thread; nothing of it is looked through later on.

    A look through what is being loaded holds the interpreter's lock for 0.1 s each time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def postponed_models() -> Iterator[None]:
    """Have the pydantic models of modules that are imported in here built when they are first used.

    FastAPI has two dozen for a description of the API that nobody asks this server for.
    """
    from pydantic import BaseModel  # noqa: PLC0415 - for the server only

    was = BaseModel.model_config.get(DEFER)
    BaseModel.model_config[DEFER] = True
    try:
        yield
    finally:
        if was is None:
            del BaseModel.model_config[DEFER]


@contextmanager
def hidden(names: Sequence[str]) -> Iterator[None]:
    """Have whatever is imported in here not find those of `names` that are not imported yet, and do without.

    Another thread does not find them meanwhile, either.
    """
    new = [name for name in names if name not in sys.modules]
    for name in new:
        sys.modules[name] = None  # type: ignore[assignment] # how Python marks a module that cannot be imported
    try:
        yield
    finally:
        for name in new:
            sys.modules.pop(name, None)


def _postpone(name: str, make: Callable[[], Method]) -> Method:
    """A method that makes the real one when it is first called."""
    made: Method | None = None

    def method(self: object, *arguments: object) -> object:
        nonlocal made
        if made is None:
            made = make()
        return made(self, *arguments)

    method.__name__ = name
    return method
