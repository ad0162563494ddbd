"""Connections of calls, each through the proxy that the environment names for its address, or directly."""

import ssl

import httpx

from stigmer_cli.proxies import Proxies

CONNECTIONS_MAX = 500
"""How many calls may be under way at once: 50 executions may have a hundred branches each."""

KEPT_MAX = 50
LIMITS = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=KEPT_MAX)


class ProxiedTransport(httpx.AsyncBaseTransport):
    """Sends each request on its way. What is on this machine is asked directly, which httpx by itself does not do."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._context: ssl.SSLContext = httpx.create_ssl_context(trust_env=True)
        self._made: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response. Raises what httpx raises."""
        proxy = self._proxies.way_to(str(request.url))
        return await self._find(proxy.url if proxy else None).handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._made.values():
            await transport.aclose()

    def _find(self, proxy: str | None) -> httpx.AsyncHTTPTransport:
        if proxy not in self._made:
            self._made[proxy] = httpx.AsyncHTTPTransport(
                verify=self._context, proxy=proxy, limits=LIMITS, trust_env=False
            )
        return self._made[proxy]
