"""One server of tools as one attempt uses it: connected when it is needed, and again after it broke.

A task of its own keeps the connection, because the library's scopes have to be left by the task that entered them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar, cast

from stigmer_cli.api.agent_tools import ToolServerBody
from stigmer_cli.clock import Clock
from stigmer_cli.domain.step import Effect
from stigmer_cli.proxies import NO_PROXIES, Proxies
from stigmer_cli.secret_values import SecretValues
from stigmer_cli.time_format import span
from stigmer_cli.tool_server.list_changes import listen
from stigmer_cli.tool_server.result import (
    KEY_IN_META,
    Json,
    Tool,
    ToolAnswer,
    ToolServerAway,
)
from stigmer_cli.tool_server.rpc_error import CLOSED, REFUSED, TOO_MANY_REQUESTS, Meaning, describe_data, read_error
from stigmer_cli.tool_server.transport import open_transport

if TYPE_CHECKING:
    from mcp.client import Client
    from mcp.shared.exceptions import MCPError
    from mcp_types import CallToolResult, RequestParamsMeta
    from mcp_types import Tool as ListedTool

SILENT_S = 120.0
LEAVE_MAX_S = 10.0
"""How long a server has to end: the library closes its input, then terminates it, then kills it, each after 2 s."""

FRESH_S = 1.0
TRIES_MAX = 3
TRY_AGAIN_S = 0.5
WAIT_MAX_S = 30.0
"""How long a server that is asked too often may have a try wait; for a longer time the attempt ends."""

PAGES_MAX = 100
SAID_CHARS_MAX = 300
SETTING = "(STIGMER_TOOL_SILENT_FOR)"
"""Which setting bounds it."""

AUTO, LEGACY = "auto", "legacy"
"""How a version of the protocol is agreed on: by `server/discover`, then `initialize`; or by `initialize` alone."""

R = TypeVar("R")
Ask: TypeAlias = Callable[["Client", Callable[[], None]], Awaitable[R]]
"""Asks a client something; what it calls says that the server was heard of meanwhile."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What all servers of a runner have in common.

    `environ` is the runner's own environment. `silent_s`: how long a server may take to answer a call, and,
    without `start_s`, to start: a package runner may have to fetch it first. `run`: the folder of the home for what its
    processes tell each other; None: there is none.
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    silent_s: float = SILENT_S
    start_s: float | None = None
    proxies: Proxies = field(default=NO_PROXIES)
    run: Path | None = None


Say = Callable[[str], None]
"""Takes a line that a server wrote to its standard error."""


class _NotTaken(Exception):
    """The server refused a request before it acted.

    `wait_s`: it is asked too often, and asks to wait so long; None: nothing may be asked in this connection any more.
    """

    def __init__(self, words: str, *, wait_s: float | None = None) -> None:
        super().__init__(words)
        self.wait_s = wait_s


class ToolServer:
    """Lists and calls the tools of one server. Enter it before use; leaving it ends the server's process."""

    def __init__(
        self, body: ToolServerBody, settings: ServerSettings, say: Say, *, clock: Clock, notes_changes: bool = False
    ) -> None:
        """`say` takes what the server writes to its standard error, line by line.

        `notes_changes`: listen for changes of the list of tools where the server tells them only to who listens.
        """
        self._notes_changes = notes_changes
        self._body = body
        self._settings = settings
        self._clock = clock
        self._say = say
        self._last_said = ""
        self._status = 0
        """The HTTP status with which it refused a request last; 0 if it never did."""
        self._wait_s = 0.0
        """How long it asked to wait then."""
        self._heard_s: float | None = None
        self.list_changes = 0
        """How often the server has said that its list of tools has changed."""
        self._mode = LEGACY if body.mcp.url is None else AUTO
        """Of programs, many end at a request before `initialize`, or say nothing to it."""
        self._given = SecretValues()
        """What the manifest gives the server, which may be secret."""
        for value in (*body.mcp.env.values(), *body.mcp.headers.values()):
            self._given.remember(value)
        self._group = asyncio.TaskGroup()
        self._connecting = asyncio.Lock()
        self._client: Client | None = None
        self._leave = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    @property
    def label(self) -> str:
        """Which server this is, as people read it."""
        return f"tool server {self._body.mcp.label}"

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._disconnect(self._client)
        await self._group.__aexit__(None, None, None)

    async def list_tools(self) -> Sequence[Tool]:
        """The tools that the agent may call, in the order of the server. Raises ToolServerAway."""
        return await self._try_often(self._list)

    async def list_tools_at_once(self) -> Sequence[Tool]:
        """As `list_tools`, with one try."""
        return await self._within(self._list, is_once=False)

    async def call(self, tool: Tool, arguments: Mapping[str, Json], *, key: str) -> ToolAnswer:
        """What the call returns; `key` is its idempotency key.

        A call whose effect is not `once` is tried again. Raises ToolServerAway; its `was_sent` says whether a call with
        the effect `once` may have taken effect.
        """

        def ask(client: "Client", heard: Callable[[], None]) -> Awaitable[ToolAnswer]:
            return self._call(client, tool, arguments, key, heard)

        return await self._try_often(ask, is_once=tool.effect is Effect.ONCE)

    async def ask(self, ask: Callable[["Client"], Awaitable[R]]) -> R | ToolAnswer:
        """What `ask` returns, which only reads, or the error that the server answered. Raises ToolServerAway."""
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - loaded with the client

        async def read(client: "Client", _heard: Callable[[], None]) -> R | ToolAnswer:
            try:
                return await ask(client)
            except MCPError as error:
                return self._answer_of_error(error)

        return await self._try_often(read)

    async def ensure_alive(self) -> None:
        """Return when the server answers, connected again if need be; at once if it did so within FRESH_S.

        Raises ToolServerAway.
        """
        now_s = self._clock.monotonic()
        if self._client is None or self._heard_s is None or now_s - self._heard_s > FRESH_S:
            await self._try_often(self._list)

    async def _try_often(self, ask: Ask[R], *, is_once: bool = False) -> R:
        """What `ask` returns; `is_once`: it is not tried again where it may have had an effect."""
        for number in range(1, TRIES_MAX):
            try:
                return await self._within(ask, is_once=is_once)
            except ToolServerAway as away:
                if away.was_sent or away.is_slow or away.retry_after_s > WAIT_MAX_S:
                    raise
                await self._clock.sleep(max(TRY_AGAIN_S * number, away.retry_after_s))
        return await self._within(ask, is_once=is_once)

    async def _within(self, ask: Ask[R], *, is_once: bool) -> R:
        """What `ask` returns; a server that says nothing for too long is disconnected. Raises ToolServerAway."""
        client = await self._connect()
        was_sent = is_once
        wait_s: float | None = None
        loop, silent_s = asyncio.get_running_loop(), self._settings.silent_s
        try:
            async with asyncio.timeout(silent_s) as limit:
                answer = await ask(client, lambda: limit.reschedule(loop.time() + silent_s))
        except TimeoutError:
            why = f"has not answered for {span(self._settings.silent_s)} {SETTING}"
        except _NotTaken as error:
            why, was_sent, wait_s = f"refuses it: {error}", False, error.wait_s
        except Exception as error:  # noqa: BLE001 - streams, processes and HTTP of the library: each says it otherwise
            why = f"broke off: {self._explain(error)}"
        else:
            self._heard_s = self._clock.monotonic()
            return answer
        if wait_s is None:
            await self._disconnect(client)
        raise ToolServerAway(f"its {self.label} {why}", was_sent=was_sent, retry_after_s=wait_s or 0.0)

    async def _list(self, client: "Client", heard: Callable[[], None]) -> Sequence[Tool]:
        listed: dict[str, ListedTool] = {}
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            heard()
            for tool in page.tools:
                listed.setdefault(tool.name, tool)
            if page.next_cursor in (None, cursor):
                break
            cursor = page.next_cursor
        return [self._tool_of(tool) for tool in listed.values() if self._body.offers(tool.name)]

    def _tool_of(self, listed: "ListedTool") -> Tool:
        hints = listed.annotations
        hinted = Effect.ONCE
        if hints is not None and (hints.read_only_hint or hints.idempotent_hint):
            hinted = Effect.NONE if hints.read_only_hint else Effect.REPEATABLE
        effect = Effect(self._body.effects.get(listed.name, hinted))
        return Tool(
            name=listed.name,
            description=listed.description or "",
            schema=listed.input_schema,
            effect=effect,
            needs_approval=self._body.needs_approval(effect),
        )

    async def _call(
        self, client: "Client", tool: Tool, arguments: Mapping[str, Json], key: str, heard: Callable[[], None]
    ) -> ToolAnswer:
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - loaded with the client

        async def progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
            heard()

        self._status = 0
        try:
            result = await client.call_tool(
                tool.name,
                dict(arguments),
                progress_callback=progress,
                meta=cast("RequestParamsMeta", {KEY_IN_META: key}),  # it may have keys of anyone
            )
        except MCPError as error:
            return self._answer_of_error(error)
        return _answer_of(result)

    def _answer_of_error(self, error: "MCPError") -> ToolAnswer:
        """What the model is told; raises _NotTaken, or OSError where nobody has answered."""
        read = read_error(error.code, error.message, status=self._status, is_http=self._body.mcp.url is not None)
        match read.meaning:
            case Meaning.ANSWERED:
                return _refused(f"{read.words}{describe_data(error.data)}")
            case Meaning.NOT_TAKEN:
                raise _NotTaken(read.words, wait_s=self._wait_s if self._status == TOO_MANY_REQUESTS else None)
            case Meaning.LOST:
                raise OSError(read.words)

    # -- the connection

    async def _connect(self) -> "Client":
        async with self._connecting:
            if self._client is not None:
                return self._client
            try:
                return await self._open()
            except ToolServerAway as away:
                if self._mode == AUTO or not _is_refusal(away.__cause__):
                    raise
                self._mode = AUTO
                return await self._open()

    async def _open(self) -> "Client":
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        start_s = self._settings.start_s or self._settings.silent_s
        self._leave, self._last_said = asyncio.Event(), ""
        self._owner = self._group.create_task(self._keep(ready, self._leave), name=self.label)
        cause: Exception
        try:
            async with asyncio.timeout(start_s):
                self._client = await asyncio.shield(ready)
        except TimeoutError as error:
            why, cause = f"has not answered for {span(start_s)} since it was started {SETTING}", error
        except Exception as error:  # noqa: BLE001 - as in `_within`
            why, cause = f"cannot be used: {self._explain(error)}", error
        else:
            return self._client
        ready.cancel()
        await self._disconnect(None)
        raise ToolServerAway(f"its {self.label} {why}", is_slow=isinstance(cause, TimeoutError)) from cause

    async def _keep(self, ready: "asyncio.Future[Client]", leave: asyncio.Event) -> None:
        """Keep one connection from its beginning to its end."""
        from mcp.client import Client  # noqa: PLC0415 - loaded before

        settings = self._settings
        transport = open_transport(
            self._body.mcp,
            environ=settings.environ,
            proxies=settings.proxies,
            silent_s=settings.silent_s,
            say=self._hear,
            note_refusal=self._note_refusal,
        )
        try:
            async with Client(transport, cache=None, mode=self._mode, message_handler=self._take) as client:
                ready.set_result(client)
                async with asyncio.TaskGroup() as group:
                    listening = group.create_task(self._listen(client), name=f"changes of {self.label}")
                    await leave.wait()
                    listening.cancel()
        except Exception as error:  # noqa: BLE001 - whoever asks is told; the end of a connection is nobody's failure
            if not ready.done():
                ready.set_exception(error)

    async def _listen(self, client: "Client") -> None:
        if self._notes_changes:
            await listen(client, self._note_change, self._clock)

    def _note_change(self) -> None:
        self.list_changes += 1

    async def _disconnect(self, client: "Client | None") -> None:
        """End the connection of `client` with the process behind it, unless another one has taken its place."""
        if client is not self._client:
            return
        owner, self._owner, self._client = self._owner, None, None
        if owner is None:
            return
        self._leave.set()
        if client is None:  # it has not come up, and would not look whether it is to leave
            owner.cancel()
        done, _ = await asyncio.wait([owner], timeout=LEAVE_MAX_S)
        if not done:
            owner.cancel()
            await asyncio.wait([owner])

    async def _take(self, message: object) -> None:
        from mcp_types import ToolListChangedNotification  # noqa: PLC0415 - loaded with the client

        self.list_changes += isinstance(message, ToolListChangedNotification)

    def _hear(self, line: str | None) -> None:
        if line is None:
            self._heard_s = None
            return
        self._last_said = self._given.redact(line)
        self._say(self._last_said)

    def _note_refusal(self, status: int, retry_after: str) -> None:
        self._status = status
        self._wait_s = float(retry_after) if retry_after.isdecimal() else 0.0

    def _explain(self, error: BaseException) -> str:
        """Why it broke, in the words of the error, or the last ones of a server that has died."""
        leaf = _leaf(error)
        words = self._given.redact(" ".join(str(leaf).split())) or type(leaf).__name__
        if words == REFUSED and self._status:
            words = f"it answered HTTP {self._status}"
        if self._last_said and self._body.mcp.url is None:
            words = f"{words}; it said last: {self._last_said}"
        return words[:SAID_CHARS_MAX]


def _is_refusal(error: BaseException | None) -> bool:
    """Whether the server has answered the first request with an error: an ended connection is none."""
    from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - loaded with the client

    leaf = _leaf(error) if error is not None else None
    return isinstance(leaf, MCPError) and leaf.message != CLOSED


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _answer_of(result: "CallToolResult") -> ToolAnswer:
    return ToolAnswer(wire=result.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"}))


def _refused(message: str) -> ToolAnswer:
    return ToolAnswer(wire={"content": [{"type": "text", "text": message}], "isError": True})
