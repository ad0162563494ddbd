"""What a redirect takes to another origin, in both HTTP libraries."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from stigmer_cli.redirects import describe_withheld, withhold_secrets

OWN = {"X-Api-Key": "k", "Authorization": "Bearer t", "Cookie": "a=b", "Accept": "text/csv"}
KEPT = {"accept": "text/csv"}
ALL = {"x-api-key": "k", "authorization": "Bearer t", "cookie": "a=b", "accept": "text/csv"}


async def follow(library: ModuleType, *addresses: str) -> tuple[Mapping[str, str], str]:
    """With which of OWN the last one of `addresses` is asked, and what is told of it; each leads to the next."""
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        left = addresses[len(asked) :]
        return library.Response(307, headers={"Location": left[0]}) if left else library.Response(200)

    hooks = {"request": [withhold_secrets]}
    transport = library.MockTransport(answer)
    async with library.AsyncClient(transport=transport, event_hooks=hooks, follow_redirects=True) as client:
        await client.get(addresses[0], headers=OWN)
    shown = asked[-1].headers
    return {name: shown[name] for name in ALL if name in shown}, describe_withheld(asked[-1])


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("addresses", "shown"),
    [
        (("https://a/1", "/2", "https://a:443/3"), ALL),
        (("http://a/1", "https://a/2", "https://a/3"), ALL),
        (("https://a/1", "http://a/2"), KEPT),
        (("https://a/1", "https://a:8443/2"), KEPT),
        (("http://a:8080/1", "https://a/2"), KEPT),
        (("https://a:8443/1", "https://a/2"), KEPT),
        (("https://a/1", "https://b.a/2"), KEPT),
        (("https://a/1", "https://user:pw@b/2"), KEPT),
        (("https://a/1", "https://b/2", "https://a/3"), KEPT),
    ],
)
async def test_only_the_same_origin_is_shown_who_asks(
    library: ModuleType, addresses: tuple[str, ...], shown: Mapping[str, str]
) -> None:
    found, told = await follow(library, *addresses)
    assert found == shown
    assert bool(told) is (shown == KEPT)


async def test_it_is_told_where_a_redirect_led_and_what_was_not_shown_there() -> None:
    assert (await follow(httpx, "https://a/1", "https://user:pw@b:1/2?secret"))[1] == (
        "it was redirected to https://b:1, another origin, which is not shown x-api-key, authorization, cookie"
    )
