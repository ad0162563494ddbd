"""Sends requests and follows redirects as RFC 9110 has it: httpx makes a GET of a DELETE, and answers one challenge."""

import httpx

from stigmer_cli.redirects import leads_elsewhere, withhold_secrets

GET_AFTER_FOUND = frozenset({"GET", "HEAD", "POST"})
"""Methods that a 302 may turn into GET, or leaves; any other one it leaves, too (section 15.4.3 of RFC 9110)."""

BODY_HEADERS = ("content-length", "transfer-encoding")


async def send(
    client: httpx.AsyncClient, request: httpx.Request, auth: httpx.Auth | None, *, follows: bool = True
) -> httpx.Response:
    """The response, whose content is still to be read: close it. With `follows`, that to which redirects lead.

    Each address within the first one's origin is authenticated to, and no other. Raises httpx.HTTPError, and ValueError
    where a body with a secret would go to another origin.
    """
    history: list[httpx.Response] = []
    while True:
        await withhold_secrets(request)
        response = await client.send(request, stream=True, auth=auth, follow_redirects=False)
        response.history = list(history)
        if not follows or response.next_request is None:
            return response
        await response.aclose()  # nobody reads its content, which may have no end
        history.append(response)
        if len(history) > client.max_redirects:
            raise httpx.TooManyRedirects(f"there are more than {client.max_redirects} redirects", request=request)
        request = _keep_method(response, response.next_request)
        auth = httpx.Auth() if leads_elsewhere(request) else auth


def _keep_method(response: httpx.Response, following: httpx.Request) -> httpx.Request:
    """`following`, to which `response` leads, with the method and the body of the request before where it has these."""
    sent = response.request
    if response.status_code != httpx.codes.FOUND or sent.method in GET_AFTER_FOUND:
        return following
    headers = httpx.Headers(following.headers)
    headers.update({name: sent.headers[name] for name in BODY_HEADERS if name in sent.headers})
    return httpx.Request(
        sent.method, following.url, headers=headers, stream=sent.stream, extensions=following.extensions
    )
