"""What every command gets: the environment as it was at the start, the clock, and the output.

Every command line imports this module, so that what it needs is imported where it is used: `stigmer --version` and the
completion of a word read no settings, print no table, and wait for nothing.
"""

import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stigmer_cli.cli.automation import find_ci_variable
from stigmer_cli.cli.output import Format, Output
from stigmer_cli.clock import Clock, SystemClock
from stigmer_cli.errors import ConfigError, MachineError, NotRunning, ServerUnavailable, StigmerError

if TYPE_CHECKING:
    import typer

    from stigmer_cli.client import Client
    from stigmer_cli.server_proof import Token
    from stigmer_cli.settings import Home, Settings

T = TypeVar("T")


@dataclass(kw_only=True)
class Cli:
    """One invocation. `cli_of` replaces `out` once the command has read `--output`; `warned`: what was warned of.

    `ended_by` is the signal that ended it; None also for Ctrl-C. `is_look`: the command changes nothing. `parent_pid`
    started it, and may have died since.
    """

    environ: Mapping[str, str]
    user_home: Path | None
    working_directory: Path | None = None
    clock: Clock = field(default_factory=SystemClock)
    out: Output = field(default_factory=Output)
    servers_now: datetime | None = None
    warned: set[str] = field(default_factory=set)
    ended_by: int | None = None
    is_look: bool = False
    parent_pid: int = field(default_factory=os.getppid)

    def now(self) -> datetime:
        """The time to compute ages with: the server's in its last answer to `call`, else this machine's."""
        return self.servers_now or self.clock.now()

    def note_termination(self, number: int) -> None:
        """Note the signal that ends this invocation."""
        self.ended_by = number

    @property
    def why_not_ask(self) -> str:
        """Why no person can be asked; empty if one can."""
        if not self.out.has_terminal:
            return "there is no terminal"
        name = find_ci_variable(self.environ)
        return f"nobody answers in CI, which the variable {name} says this is" if name else ""

    @property
    def can_ask(self) -> bool:
        """Whether a person can see a question and answer it."""
        return not self.why_not_ask

    @property
    def home(self) -> "Home":
        """The home of this invocation; reads no other setting."""
        from stigmer_cli.settings import home_of

        return home_of(self.environ, user_home=self.user_home, working_directory=self.working_directory)

    def load_settings(self, *, is_look: bool = False, **flags: str | None) -> "Settings":
        """The settings of a command. While the home's stack runs, its addresses override those of this shell.

        Raises as `load` does. With `is_look`, for a read-only command, an untrusted home is only a warning.
        """
        return _follow_stack(self.load_own_settings(is_look=is_look, **flags))

    def load_own_settings(self, *, is_look: bool = False, **flags: str | None) -> "Settings":
        """The settings of this shell and of `config.toml`, even while a stack runs: for commands that start a part."""
        from stigmer_cli.settings import load

        found = load(
            flags,
            self.environ,
            user_home=self.user_home,
            working_directory=self.working_directory,
            is_look=is_look,
        )
        if found.distrust:
            self._warn_once(f"{found.distrust}; neither its config.toml nor its token is used")
        for warning in found.warnings:
            self._warn_once(warning)
        return found

    def _warn_once(self, text: str) -> None:
        """Print a warning about the settings, which a command may read more than once."""
        if text not in self.warned:
            self.warned.add(text)
            self.out.warning(text)

    def load_settings_or_defaults(self) -> "Settings":
        """`load_settings`, or the defaults with a warning if it fails: for read-only commands."""
        from stigmer_cli.settings import Settings, find_doubts

        home = self.home
        try:
            return self.load_settings(is_look=True)
        except ConfigError as error:
            self.out.warning(f"the settings of this shell cannot be read: {error.message}")
        distrust = "; ".join(doubt.message for doubt in find_doubts(home))
        return _follow_stack(Settings(home=home, distrust=distrust))

    def client(self, **flags: str | None) -> "Client":
        """A client of the server; raises as `find_server` does."""
        from stigmer_cli.client import Client

        settings, token = self.find_server(**flags)
        return Client(
            settings.server_target,
            token,
            ca_file=settings.server_ca_file,
            is_insecure_allowed=settings.is_insecure_allowed,
        )

    def find_server(self, **flags: str | None) -> "tuple[Settings, Token]":
        """The settings that name the server, and where its token is read.

        Raises NotRunning if there is no token because no stack was ever started here, MachineError if its file is gone,
        and ConfigError if the server is on another machine and no token is set.
        """
        from stigmer_cli.credential import FileToken, read_token
        from stigmer_cli.stack.remote import refuse_copy, require_token

        settings = self._load_settings_of_server(flags)
        require_token(settings)
        if settings.server_url is None:
            refuse_copy(settings.home)
        token = settings.token
        if token is None and read_token(settings.home) is None:
            raise _explain_missing_token(settings.home)
        return settings, (lambda: token) if token else FileToken(settings.home)

    def _load_settings_of_server(self, flags: Mapping[str, str | None]) -> "Settings":
        """The settings that name the server; where they cannot be read, who only looks asks the stack here."""
        from stigmer_cli.settings import BY_NAME, Settings, find_doubts
        from stigmer_cli.stack.endpoints_file import read_endpoints

        try:
            return self.load_settings(is_look=False, **flags)
        except ConfigError as error:
            home, is_elsewhere = self.home, bool(self.environ.get(BY_NAME["server_url"].variable))
            if not self.is_look or is_elsewhere or find_doubts(home) or read_endpoints(home) is None:
                raise
            self._warn_once(f"the settings of this shell cannot be read: {error.message}")
        return _follow_stack(Settings(home=home))

    def call(self, ask: "Callable[[Client], Awaitable[T]]") -> T:
        """The answer to one call; raises NotRunning if the stack of this home is down."""

        async def ask_server() -> T:
            async with self.client() as client:
                try:
                    return await ask(client)
                finally:
                    self.servers_now = client.servers_now

        return self.run(ask_server())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; Ctrl-C, SIGTERM and a closed terminal cancel it and raise KeyboardInterrupt.

        Raises NotRunning instead of ServerUnavailable if the server of this home does not run; the message names the
        process that holds its port.
        """
        import asyncio

        from stigmer_cli.cli.termination import cancelled_on_termination

        async def heed_signals() -> T:
            with cancelled_on_termination(self.note_termination):
                return await work

        try:
            return asyncio.run(heed_signals())
        except asyncio.CancelledError:  # by such a signal, or as by `cancelled_by_ctrl_c`
            raise KeyboardInterrupt from None
        except ServerUnavailable as error:
            explained = self.explain(error)
            if explained is error:
                raise
            raise explained from error

    def explain(self, error: ServerUnavailable) -> StigmerError:
        """The error to raise if the server cannot be reached: the cause found on this machine, else `error`."""
        from stigmer_cli.settings import Source
        from stigmer_cli.stack.server_unreachable import explain

        settings = self._load_settings_of_server({})
        is_own = settings.sources.get("server_url", Source.DEFAULT) is Source.DEFAULT
        return explain(error, settings.server_target, settings.home, is_own=is_own)


def _follow_stack(found: "Settings") -> "Settings":
    """`found`, with the addresses of the stack of its home, which runs or was stopped; as it is without trust."""
    from stigmer_cli.stack.endpoints_file import read_endpoints
    from stigmer_cli.stack.precedence import follow_running_stack, keep_recorded
    from stigmer_cli.stack.settings_record import read_settings_record

    if found.distrust:
        return found
    running, record = read_endpoints(found.home), read_settings_record(found.home)
    return follow_running_stack(found, running, record) if running else keep_recorded(found, record)


def _explain_missing_token(home: "Home") -> StigmerError:
    if home.store_id_file.exists():
        # `up` makes a new one, and a running server reads it.
        return MachineError(f"the token file {home.token_file} is gone", hint="stigmer up")
    return NotRunning(f"no stack was ever started in {home.shown}", hint="stigmer up")


def cli_of(ctx: "typer.Context", output_format: Format = Format.TABLE, *, is_look: bool = False) -> Cli:
    """The invocation that `ctx` belongs to, set to print its results in `output_format`."""
    found = ctx.find_object(Cli)
    if found is None:
        raise TypeError("the application was called without its Cli")
    found.out, found.is_look = Output(output_format), is_look
    return found
