"""The link from a command or a runner to its server: what it trusts, and why it fails where TLS is the reason."""

import asyncio
import ssl

from stigmer_cli.clock import Clock, SystemClock
from stigmer_cli.tls.handshake import why_not
from stigmer_cli.tls.peers import server_peer
from stigmer_cli.tls.trust import server_trust

LOOK_S = 2.0


class Link:
    """One server. `context` is for every connection to it; an authority's file that changes counts for the next."""

    def __init__(self, url: str, ca_file: str | None, *, clock: Clock | None = None) -> None:
        """Read the file; raises ConfigError where it cannot be used."""
        self._url = url
        self._is_tls = url.startswith("https://")
        self._trust = server_trust(ca_file)
        self._stamp = self._trust.stamp()
        self._clock = clock or SystemClock()
        # Without TLS a bare one, which costs nothing; to read the system's authorities takes 20 ms.
        self.context = self._trust.context() if self._is_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def refresh(self) -> None:
        """Trust what the authority's file says now; raises ConfigError where it cannot be used."""
        stamp = self._trust.stamp()
        if self._is_tls and stamp != self._stamp:
            self._trust.trust_also(self.context)
            self._stamp = stamp

    async def why_not(self, error: Exception) -> str:
        """Why `error`, in a sentence, where TLS is the reason; empty where it is not."""
        if isinstance(error.__cause__ or error, ConnectionRefusedError) or "refused" in str(error):
            return ""
        try:
            async with asyncio.timeout(LOOK_S):
                return await why_not(server_peer(self._url), self._trust if self._is_tls else None, clock=self._clock)
        except TimeoutError:
            return ""
