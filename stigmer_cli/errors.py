"""The one tree of errors; the branch says what the caller can do about it.

StigmerError
├── RequestError            change the request (exit 2, HTTP 400)
│   ├── ConfigError         change a setting, a flag or a file
│   │   └── TokenKept       the token is never sent to the server that is named
│   ├── TooLarge            send less (HTTP 413)
│   └── Ambiguous           name one of the candidates
├── NotFound                ask for something that exists (exit 5, HTTP 404)
├── Conflict                read again: somebody else moved it first (exit 1, HTTP 409)
├── Unavailable             try later: nothing was judged or done (exit 4, HTTP 503)
│   ├── TemporalUnavailable
│   ├── ServerUnavailable   the HTTP server cannot be reached
│   │   └── ServerUnproven  what answers there has not proven to be it
│   ├── ServerBusy          the server takes no more requests just now
│   └── StoreBusy           the database is held by somebody else
├── NotRunning              start it first (exit 3)
├── Refused                 show who you are (exit 2, HTTP 401)
├── MachineError            fix the machine: disk, port, binary, file (exit 1, HTTP 507)
│   └── InUse               another process has it, and keeps it: stop that one first (exit 3)
│       └── OtherTemporal   the servers of one store are on two Temporals: name the other one, or move the store
├── OperationFailed         it was tried and it failed; the message says how (exit 1)
└── TimedOut                wait longer, or look why (exit 124)
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


def reason_of(error: Exception) -> str:
    """Why the system refused, in its own words: `No space left on device`. The sentence around it has the names."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error)


class StigmerError(Exception):
    """A sentence with the names in it, a way out (`hint`), and what it means to a program (`code`, `exit_code`).

    `way_out` is the hint of an error that was raised without one. `status` is the HTTP status it travels as.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    way_out: ClassVar[str] = "stigmer logs"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.way_out


class RequestError(StigmerError):
    """The caller asked for something that makes no sense as it stands."""

    code = "invalid-request"
    exit_code = 2
    status = 400
    way_out = "stigmer --help"


class ConfigError(RequestError):
    """A setting, a flag or a configuration file is wrong."""

    code = "invalid-configuration"
    way_out = "stigmer config list"


class TokenKept(ConfigError):
    """The token is never sent to the server that is named: the way there is not safe."""

    code = "token-kept"


class TooLarge(RequestError):
    """The request is larger than the server takes."""

    code = "too-large"
    status = 413


class Ambiguous(RequestError):
    """What was named fits several things. `candidates` are some of them, as JSON objects, newest first."""

    code = "ambiguous"

    def __init__(self, message: str, *, hint: str = "", candidates: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class NotFound(StigmerError):
    """No such thing."""

    code = "not-found"
    exit_code = 5
    status = 404
    way_out = "stigmer agents list, stigmer executions list"


class Conflict(StigmerError):
    """The write expected a state that is no longer there; somebody else moved it first."""

    code = "conflict"
    status = 409
    way_out = "look at what is there now, and try again"


class Unavailable(StigmerError):
    """Something this needs cannot be reached just now; nothing was judged or, as far as is known, done.

    `retry_after_s` is when a new try makes sense. `may_have_counted` where what was asked for may have been done all
    the same, and only the answer is missing.
    """

    code = "unavailable"
    exit_code = 4
    status = 503
    way_out = "stigmer doctor"

    def __init__(
        self, message: str, *, hint: str = "", retry_after_s: float = 1.0, may_have_counted: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.may_have_counted = may_have_counted


class TemporalUnavailable(Unavailable):
    """Temporal is not connected."""

    code = "temporal-unavailable"


class ServerUnavailable(Unavailable):
    """The Stigmer server cannot be reached."""

    code = "server-unavailable"


class ServerUnproven(ServerUnavailable):
    """Somebody answers in the server's place without proof that it holds the token; nothing was sent there."""

    code = "server-unproven"


class ServerBusy(Unavailable):
    """The server has as many requests as it can answer in time; nothing of this one was done."""

    code = "server-busy"
    words = "takes no more"
    """What every message of it says; doctor knows it by that."""


class StoreBusy(Unavailable):
    """The database is held by somebody else for too long."""

    code = "store-busy"


class NotRunning(StigmerError):
    """The stack, or the part asked for, is not running."""

    code = "not-running"
    exit_code = 3
    status = 503
    way_out = "stigmer up"


class Refused(StigmerError):
    """The caller did not show a valid token, or came from a place that may not ask."""

    code = "refused"
    exit_code = 2
    status = 401
    way_out = "stigmer config path shows the home whose token file is used"


class MachineError(StigmerError):
    """Disk, port, binary or file: the machine has to be fixed first."""

    code = "machine"
    status = 507


class InUse(MachineError):
    """Another process has what this one needs for itself alone, so this one does not run."""

    code = "in-use"
    exit_code = 3


class OtherTemporal(InUse):
    """Another living server keeps this server's store on another Temporal."""

    code = "other-temporal"
    way_out = (
        "set STIGMER_TEMPORAL_ADDRESS to that Temporal, or move the store to this one: stigmer up --adopt-temporal"
    )


class StoreMissing(MachineError):
    """The store that holds this home's executions is gone, or another one has its place."""

    code = "store-missing"


class OperationFailed(StigmerError):
    """It was tried and it failed."""

    code = "failed"


class TimedOut(StigmerError):
    """A deadline ran out; the message says where things stood."""

    code = "timed-out"
    exit_code = 124
    status = 504
    way_out = "stigmer doctor"
