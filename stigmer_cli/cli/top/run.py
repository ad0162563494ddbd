"""Runs the screen of `stigmer top` on a terminal, and leaves the terminal as it was."""

import asyncio
import os
import signal
import sys
import termios
from codecs import getincrementaldecoder
from functools import partial
from typing import Any

from textual.app import App
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.top.app import TopApp
from stigmer_cli.cli.top.source import StackSource
from stigmer_cli.errors import ConfigError, OperationFailed

REFRESH_S = 1.0
REFRESH_MIN_S = 0.2
LOOK_EVERY_S = 0.5
DUMB = ("", "dumb", "unknown")
INSTEAD = "stigmer status --watch, or stigmer executions list"
ENDED_BY_HANGUP = 128 + signal.SIGHUP


class StandardOutputDriver(LinuxDriver):
    """Draws on standard output, which is a terminal; textual draws on standard error, which may be a file."""

    def __init__(self, app: App[None], **options: Any) -> None:  # noqa: ANN401 - as textual calls it
        super().__init__(app, **options)
        self._file = sys.__stdout__


def run_top(cli: Cli, *, interval_s: float | None, is_stuck_only: bool) -> None:
    """Show the screen until the user leaves it; raises ConfigError if this is no terminal that can show one."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("stigmer top needs a terminal", hint=INSTEAD)
    if (kind := cli.environ.get("TERM", "")).lower() in DUMB:
        told = f"TERM is {kind}" if kind else "TERM is not set"
        raise ConfigError(f"this terminal can show no whole screen: {told}", hint=INSTEAD)
    cli.load_settings_or_defaults()  # its warnings are printed once, before the screen covers them
    _read_any_bytes()
    app = TopApp(StackSource(cli), interval_s=max(interval_s or REFRESH_S, REFRESH_MIN_S), is_stuck_only=is_stuck_only)
    app.driver_class = StandardOutputDriver
    cli.out.stderr.quiet = True
    try:
        cli.run(_run(app))
    finally:
        cli.out.stderr.quiet = False
    if app.return_code:  # textual has printed the error
        raise OperationFailed("the screen ended by the error above", hint="stigmer status --watch")


def _read_any_bytes() -> None:
    """Have textual read bytes that are not UTF-8 as replacement characters; it would end by a UnicodeDecodeError.

    A terminal sends such bytes where text in another encoding is pasted, and for a mouse beyond column 95 if it falls
    back to the reports of X10, as after a reconnect.
    """
    vars(linux_driver)["getincrementaldecoder"] = lambda name: partial(getincrementaldecoder(name), errors="replace")


async def _run(app: TopApp) -> None:
    """Run `app`; a signal ends it as the key `q` does, so that the terminal is as before."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _leave, app)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch_terminal(), name="terminal")
        await app.run_async()
        watching.cancel()


def _leave(app: TopApp) -> None:
    _end_without_terminal()
    app.exit()


async def _watch_terminal() -> None:
    """Look whether the terminal is still there, until cancelled: not every closed one sends a signal."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        _end_without_terminal()


def _end_without_terminal() -> None:
    """End the process at once if its terminal is gone.

    textual would wait for ever: the thread that writes has died of the first error, and its queue is full
    (textual/drivers/_writer_thread.py).
    """
    try:
        termios.tcgetattr(sys.stdin.fileno())
    except termios.error:
        os._exit(ENDED_BY_HANGUP)
