"""Who may see the web UI: a secret that opens it once, and the cookie that a browser gets for it."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stigmer_cli.clock import Clock
from stigmer_cli.errors import RequestError

LINK_MAX_S = 60.0
"""How long a link can be opened, in seconds."""

LINKS_MAX = 32
"""Links that wait at the same time; one more, and the oldest is void."""

SESSION_MAX_S = 12 * 3600
ENDED_MAX = 1000
SECRET_BYTES = 32
PURPOSE = b"stigmer web ui session"
HOME_PATH = "/ui/"
PATH_MAX = 2000


@dataclass(frozen=True, kw_only=True)
class _Link:
    digest: bytes
    path: str
    made_at: float


class Links:
    """Secrets that open the UI once, each for `LINK_MAX_S`. Kept as hashes, in the memory of this process only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[_Link] = []

    def make(self, path: str = HOME_PATH) -> str:
        """A new secret that leads to `path`; raises RequestError where that is no page of the UI."""
        if not path.startswith(HOME_PATH) or len(path) > PATH_MAX or not path.isprintable() or "\\" in path:
            raise RequestError(f"a page of the web UI begins with {HOME_PATH} and has at most {PATH_MAX} characters")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._waiting = [*self._unexpired(), _Link(digest=_digest(secret), path=path, made_at=self._clock.monotonic())]
        self._waiting = self._waiting[-LINKS_MAX:]
        return secret

    def redeem(self, secret: str) -> str | None:
        """Where `secret` leads, once; None where it is unknown, was used, or is too old."""
        wanted = _digest(secret)
        found = next((link for link in self._unexpired() if hmac.compare_digest(link.digest, wanted)), None)
        self._waiting = [link for link in self._waiting if link is not found]
        return found.path if found else None

    def _unexpired(self) -> list[_Link]:
        oldest = self._clock.monotonic() - LINK_MAX_S
        return [link for link in self._waiting if link.made_at >= oldest]


class Sessions:
    """Cookies that hold their expiry time, signed with a key of the home's token.

    They outlive a restart of the server, and a rotated token ends them all. Cookies know no ports, so that the name has
    the server's, or two stacks would log each other's browser out.
    """

    def __init__(self, token: Callable[[], str | None], *, clock: Clock, port: int) -> None:
        self.cookie_name = f"stigmer_ui_{port}"
        self._token, self._clock = token, clock
        self._ended: dict[str, None] = {}

    def begin(self, *, is_tls: bool) -> str:
        """The Set-Cookie header of a new session."""
        until = int(self._clock.now().timestamp()) + SESSION_MAX_S
        payload = f"{until}.{secrets.token_urlsafe(SECRET_BYTES)}"
        return self._cookie(f"{payload}.{self._signature(payload)}", SESSION_MAX_S, is_tls=is_tls)

    def is_open(self, cookie_headers: Iterable[str]) -> bool:
        """Whether one of the cookies is that of a session of ours that has not ended."""
        return any(self._is_good(value) for value in self._values(cookie_headers))

    def end(self, cookie_headers: Iterable[str]) -> str:
        """End the session; the Set-Cookie header that removes its cookie."""
        for value in self._values(cookie_headers):
            if self._is_good(value):
                self._ended[value] = None
        while len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]
        return self._cookie("", 0, is_tls=False)

    def _values(self, cookie_headers: Iterable[str]) -> list[str]:
        pairs = [pair.strip().partition("=") for header in cookie_headers for pair in header.split(";")]
        return [value for name, _, value in pairs if name == self.cookie_name]

    def _is_good(self, value: str) -> bool:
        payload, _, signature = value.rpartition(".")
        until = payload.partition(".")[0]
        is_ours = (
            hmac.compare_digest(signature.encode(), self._signature(payload).encode()) and self._token() is not None
        )
        if not is_ours or not until.isdigit() or value in self._ended:
            return False
        left_s = int(until) - self._clock.now().timestamp()
        return 0 < left_s <= SESSION_MAX_S

    def _signature(self, payload: str) -> str:
        key = hmac.digest((self._token() or "").encode(), PURPOSE, "sha256")
        return hmac.new(key, payload.encode(), "sha256").hexdigest()

    def _cookie(self, value: str, age_s: int, *, is_tls: bool) -> str:
        only_tls = "; Secure" if is_tls else ""
        return f"{self.cookie_name}={value}; Path=/ui; Max-Age={age_s}; HttpOnly; SameSite=Strict{only_tls}"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
