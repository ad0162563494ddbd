"""`call: a2a`: a request to an agent by the Agent2Agent protocol, as JSON-RPC over HTTP."""

import uuid
from collections.abc import Mapping
from typing import cast
from urllib.parse import urljoin, urlsplit

import httpx

from stigmer_cli.domain.step import Effect
from stigmer_cli.json_text import read_json
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.event_stream import CONTENT_TYPE, read_events
from stigmer_cli.runner.call.http import CONTENT_BYTES_MAX, read_content, refuse_response
from stigmer_cli.runner.call.resource import Resources
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

SENDING = frozenset({"message/send", "message/stream"})
STREAMED = frozenset({"message/stream", "tasks/resubscribe"})
VERSION = "0.3"
"""The version of the protocol whose methods the DSL names."""

JSON_RPC = "JSONRPC"
SAID_CHARS_MAX = 1_000


class A2aCall:
    """Sends a request, and reads its answer, or the stream of its answers."""

    def __init__(self, client: httpx.AsyncClient, authenticator: Authenticator, resources: Resources) -> None:
        self._client = client
        self._authenticator = authenticator
        self._resources = resources

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        """A message has its effect each time; all other methods may be called twice."""
        return Effect.ONCE if arguments["method"] in SENDING else Effect.REPEATABLE

    async def perform(self, request: CallRequest) -> Json:
        """The result, or of a stream the list of all results.

        Raises WorkflowError: of the type runtime where the agent answers with an error, of the type communication
        where it does not answer.
        """
        address, policy = await self._find_agent(request)
        method = str(request.arguments["method"])
        body = {
            "jsonrpc": "2.0",
            "id": request.idempotency_key,
            "method": method,
            "params": _fill_parameters(method, request),
        }
        headers = {
            "Accept": CONTENT_TYPE if method in STREAMED else "application/json",
            "Idempotency-Key": request.idempotency_key,
            "A2A-Version": VERSION,
        }
        try:
            built = self._client.build_request("POST", address, json=body, headers=headers)
            response = await self._client.send(built, stream=True, auth=self._authenticator.make_auth(policy))
            try:
                return await self._read(method, response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
            detail = f"{method} at {address}: {str(error) or type(error).__name__}"
            raise make_error(ErrorType.COMMUNICATION, detail) from error

    async def _read(self, method: str, response: httpx.Response) -> Json:
        if not response.is_success:
            raise refuse_response(f"{method} at {response.url}", response, await read_content(response))
        if not response.headers.get("Content-Type", "").startswith(CONTENT_TYPE):
            result = _find_result(method, await read_content(response))
            return [result] if method in STREAMED else result
        results: list[Json] = []
        length = 0
        async for event in read_events(response):
            length += len(event.data)
            if length > CONTENT_BYTES_MAX:
                raise ValueError(f"the stream is longer than {CONTENT_BYTES_MAX:,} characters")
            results.append(_find_result(method, event.data))
        return results if method in STREAMED else next(iter(results[-1:]), None)

    async def _find_agent(self, request: CallRequest) -> tuple[str, Policy | None]:
        """The address of the agent, and what authenticates there.

        The policy of the card's address is for its own host: a card names any other.
        """
        card_at = request.arguments.get("agentCard")
        if not isinstance(card_at, str):
            if not isinstance(server := request.arguments.get("server"), str):
                raise make_error(ErrorType.CONFIGURATION, "the call names neither an agentCard nor a server")
            return server, request.policy
        card = await self._resources.fetch_document(card_at, request.resource_policy, "agent card")
        address = urljoin(card_at, _find_address(card, card_at))
        is_same_host = urlsplit(address)[:2] == urlsplit(card_at)[:2]
        return address, request.resource_policy if is_same_host else None


def _find_address(card: Mapping[str, Json], card_at: str) -> str:
    """Where the agent takes JSON-RPC: `url` of versions up to 0.3, or one of the interfaces."""
    if isinstance(card.get("url"), str) and str(card.get("preferredTransport") or JSON_RPC).upper() == JSON_RPC:
        return str(card["url"])
    interfaces = [card.get("supportedInterfaces"), card.get("additionalInterfaces")]
    for interface in (item for items in interfaces if isinstance(items, list) for item in items):
        if isinstance(interface, Mapping) and isinstance(interface.get("url"), str):
            kind = interface.get("protocolBinding") or interface.get("transport") or JSON_RPC
            if str(kind).upper() == JSON_RPC:
                return str(interface["url"])
    raise make_error(ErrorType.CONFIGURATION, f"the agent card at {card_at} names no address that takes JSON-RPC")


def _fill_parameters(method: str, request: CallRequest) -> Json:
    """The parameters, with what the DSL has a runtime add to a message; its id is the same on each replay."""
    given = request.arguments.get("parameters")
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise make_error(ErrorType.CONFIGURATION, "the parameters of the call are no mapping")
    message = given.get("message")
    if method not in SENDING or not isinstance(message, Mapping):
        return cast("Json", given)
    own = {"kind": "message", "role": "user", "messageId": str(uuid.uuid5(uuid.NAMESPACE_OID, request.idempotency_key))}
    return {**given, "message": {**own, **message}}


def _find_result(method: str, content: bytes | str) -> Json:
    """The result in an answer of JSON-RPC. Raises ValueError for what is none, and WorkflowError for an error."""
    answer = read_json(content)
    if not isinstance(answer, Mapping):
        raise ValueError("the answer is no object of JSON-RPC")  # noqa: TRY004 - of what was sent
    error = answer.get("error")
    if error is not None:
        said = f"{error.get('message')} ({error.get('code')})" if isinstance(error, Mapping) else str(error)
        raise make_error(ErrorType.RUNTIME, f"{method}: the agent answered: {said[:SAID_CHARS_MAX]}")
    if "result" not in answer:
        raise ValueError("the answer has neither a result nor an error")
    return cast("Json", answer["result"])
