"""The server's HTTP connections: a deadline for each request to arrive, and room for callers who show the token.

    ACCEPTED ──first byte──▶ RECEIVING ──whole request──▶ ANSWERING ──answered──▶ IDLE ──first byte──▶ RECEIVING
        │                        │                                                  │
        └─────── deadline ───────┴──▶ closed (408 where a request had begun)        └── KEPT_S ──▶ closed

Who opens connections and sends nothing must not keep others out. With more than `CONNECTIONS_MAX`, the one is closed
that has waited longest without a request under way: one on which nobody has shown the token while there are more than
`ROOM_FOR_NEW` of those, otherwise another. A request beyond the limit is answered with 503. An answer may take as long
as it needs: an execution is followed for hours.
"""

import asyncio
import json
from typing import Any, Protocol

import h11
import structlog
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from stigmer_cli.api.problem import CONTENT_TYPE, Problem
from stigmer_cli.errors import ServerBusy

CONNECTIONS_MAX = 512
ROOM_FOR_KNOWN = 64
"""Of `CONNECTIONS_MAX` requests at a time, those that only callers with the token may have."""

ROOM_FOR_NEW = 64
"""Connections on which nobody has shown the token yet that stay, beyond `CONNECTIONS_MAX` too: it may come next."""

RECEIVE_MAX_S = 10.0
"""From the first byte of a request to its last, and from a connection to its first byte."""

BYTES_PER_S_MIN = 16 * 1024
"""A long body gets another second for so many bytes: 4 MiB may take four minutes, which a slow line needs."""

KEPT_S = 30
"""How long a connection is kept open for the next request."""

RETRY_AFTER_S = 1.0
CONNECTION = "stigmer.connection"

log = structlog.get_logger()


class Caller(Protocol):
    """A connection, to whom decides about one of its requests."""

    @property
    def waited_s(self) -> float:
        """Seconds since the first byte of the request."""

    def admit(self, *, is_known: bool) -> None:
        """Note whether the caller has shown the token; raises ServerBusy where there is no room for the request."""


def waited_s(scope: Scope) -> float:
    """For how long the request of `scope` has been here, in seconds from its first byte; 0 without a connection."""
    connection: Caller | None = scope.get("state", {}).get(CONNECTION)
    return 0.0 if connection is None else connection.waited_s


def admit(scope: Scope, *, is_known: bool) -> None:
    """Have the connection of `scope` admit its request; does nothing where there is none, as in a test without one."""
    connection: Caller | None = scope.get("state", {}).get(CONNECTION)
    if connection is not None:
        connection.admit(is_known=is_known)


class HttpConnection(H11Protocol):
    """uvicorn's connection, with the deadlines and limits of this module."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        self.app_state = {**self.app_state, CONNECTION: self}
        self.is_known = False
        self._waits_since = self.loop.time()
        self._received = 0
        self._deadline: asyncio.TimerHandle | None = None

    # -- what asyncio and uvicorn call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Keep it, and close another one where there are too many."""
        super().connection_made(transport)
        self._expect_request()
        if len(self.connections) > CONNECTIONS_MAX:
            self._close_one()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take it in; the first byte of a request starts its deadline, the last one ends it."""
        if self._is_idle and self._received == 0:
            self._expect_request()
        self._received += len(data)
        super().data_received(data)
        if self._is_received:
            self._cancel_deadline()
        elif self._is_idle and not self.conn.trailing_data[0]:  # the end of a body whose answer was sent before
            self._received = 0
            self._expect_request()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._waits_since, self._received = self.loop.time(), 0
        super().on_response_complete()

    # -- who is let in

    @property
    def waited_s(self) -> float:
        """Seconds since the first byte of the request."""
        return self.loop.time() - self._began

    def admit(self, *, is_known: bool) -> None:
        """As in `Caller`."""
        self.is_known = self.is_known or is_known
        room = CONNECTIONS_MAX if is_known else CONNECTIONS_MAX - ROOM_FOR_KNOWN
        if len(self.tasks) > room:
            log.warning("request_refused", code=ServerBusy.code, at_once=len(self.tasks))
            message = f"the server answers {len(self.tasks)} requests at a time, and {ServerBusy.words}"
            raise ServerBusy(message, retry_after_s=RETRY_AFTER_S)

    def _close_one(self) -> None:
        """Close the one that others can best do without, if there are too many that are not being closed yet."""
        open_ones = [one for one in self.connections if isinstance(one, HttpConnection) and one.is_open]
        waiting = [one for one in open_ones if one.is_waiting and one is not self]
        strangers = [one for one in waiting if not one.is_known]
        known = [one for one in waiting if one.is_known]
        chosen = strangers if len(strangers) > ROOM_FOR_NEW else known
        if chosen and len(open_ones) > CONNECTIONS_MAX:
            min(chosen, key=lambda one: one.waits_since).transport.close()

    @property
    def is_open(self) -> bool:
        """Whether it is not being closed."""
        return not self.transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        """Whether no request is under way, or none that has arrived."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    @property
    def waits_since(self) -> float:
        """Since when it waits for a request, on the loop's clock."""
        return self._waits_since

    # -- deadlines

    @property
    def _is_idle(self) -> bool:
        return self.conn.their_state is h11.IDLE

    @property
    def _is_received(self) -> bool:
        return self.conn.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.SWITCHED_PROTOCOL, h11.ERROR)

    def _expect_request(self) -> None:
        self._cancel_deadline()
        self._began = self.loop.time()
        self._deadline = self.loop.call_later(RECEIVE_MAX_S, self._give_up)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Close what has not arrived in time; a body that arrives fast enough gets more time."""
        due = self._began + RECEIVE_MAX_S + self._received / BYTES_PER_S_MIN
        if self.conn.their_state is h11.SEND_BODY and (left_s := due - self.loop.time()) > 0:
            self._deadline = self.loop.call_later(left_s, self._give_up)
            return
        self._deadline = None
        if self._received and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send_late()
        self.transport.close()

    def _send_late(self) -> None:
        problem = Problem(
            title="request timeout",
            status=408,
            code="request-timeout",
            detail=f"the request did not arrive within {RECEIVE_MAX_S:.0f} s",
        )
        body = json.dumps(problem.model_dump(mode="json", by_alias=True, exclude_none=True)).encode()
        headers = [
            ("content-type", CONTENT_TYPE),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (h11.Response(status_code=408, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
