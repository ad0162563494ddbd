"""Changes of a list of tools: by the protocol of 2026 a server tells them only in answer to `subscriptions/listen`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from stigmer_cli.clock import Clock

if TYPE_CHECKING:
    from mcp.client import Client

LISTENS_MAX = 100
"""How often a connection listens: a stream that nothing comes from may be broken off."""

AGAIN_S = 0.5


async def listen(client: "Client", note: Callable[[], None], clock: Clock) -> None:
    """Call `note` for each change, and where there may have been one.

    Returns where the server tells changes in another way, or none, refuses to, or breaks off too often.
    """
    from mcp.client.subscriptions import SubscriptionLost  # noqa: PLC0415 - loaded with the client

    if not _is_to_be_asked(client):
        return
    for _ in range(LISTENS_MAX):
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _change in changes:
                    note()
        except SubscriptionLost:
            pass
        except Exception:  # noqa: BLE001 - streams and HTTP of the library; the tools are there without it
            return
        await clock.sleep(AGAIN_S)
        note()  # of what has changed meanwhile, nobody tells


def _is_to_be_asked(client: "Client") -> bool:
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS  # noqa: PLC0415 - loaded with the client

    tools = client.server_capabilities.tools
    return client.protocol_version in MODERN_PROTOCOL_VERSIONS and tools is not None and tools.list_changed is True
