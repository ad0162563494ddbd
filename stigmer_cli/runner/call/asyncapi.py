"""`call: asyncapi`: an operation of an AsyncAPI document (2.x, 3.x), over HTTP, NATS or WebSocket."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

import httpx

from stigmer_cli.domain.step import Effect
from stigmer_cli.proxies import NO_PROXIES, Proxies
from stigmer_cli.runner.call import nats_messages, websocket_messages
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.http_messages import HttpMessages
from stigmer_cli.runner.call.openapi import Document
from stigmer_cli.runner.call.openapi_parameter import write_single
from stigmer_cli.runner.call.resource import Resources
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

PROTOCOLS: Mapping[str, str] = {"http": "http", "https": "http", "nats": "nats", "ws": "ws", "wss": "ws"}
"""The protocols of servers that can be spoken, and how the DSL calls them."""


def find_refusal(arguments: Mapping[str, Json]) -> str:
    """Why the protocol that the call asks for cannot be spoken here; empty if it can, or none is asked for."""
    protocol = arguments.get("protocol")
    if not isinstance(protocol, str) or "$" in protocol:
        return ""
    if protocol not in PROTOCOLS.values():
        return f"call: asyncapi over {protocol} is not supported, only over http, nats and ws"
    missing = {"nats": nats_messages.find_missing, "ws": websocket_messages.find_missing}
    return missing[protocol]() if protocol in missing else ""


class AsyncApiCall:
    """Finds the operation in its document, publishes, and subscribes."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        authenticator: Authenticator,
        resources: Resources,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        """`proxies`: those for WebSocket; `client` knows its own."""
        self._proxies = proxies
        self._authenticator = authenticator
        self._resources = resources
        self._http = HttpMessages(client, authenticator)

    def is_needed(self, arguments: Mapping[str, Json], said: Effect | None) -> bool:  # noqa: ARG002
        """The document says where the messages are."""
        return True

    async def translate(self, request: CallRequest) -> tuple[str, Mapping[str, Json]]:
        """`http` with its arguments for a message that is published over HTTP; else `asyncapi`, with an address.

        Raises WorkflowError: no document, no such operation, no server that speaks a protocol that is supported.
        """
        arguments = request.arguments
        place = str(arguments["document"])
        data = await self._resources.fetch_document(place, request.resource_policy, "AsyncAPI document")
        if "asyncapi" not in data:
            raise make_error(ErrorType.CONFIGURATION, f"{place} is no AsyncAPI document")
        document = Document(data)
        operation = _find_operation(document, arguments)
        protocol, base = _find_server(document, operation, arguments)
        address = _fill(operation.address, operation.parameters, arguments)
        message = arguments.get("message")
        if protocol == "http" and isinstance(message, Mapping):
            bound = document.resolve(document.resolve(operation.bindings).get("http"))
            return "http", {
                "method": str(bound.get("method") or "POST").lower(),
                "endpoint": _join(base, address),
                "headers": message.get("headers") or {},
                "body": message.get("payload"),
            }
        where = address if protocol == "nats" else _join(base, address)
        return "asyncapi", {"protocol": protocol, "server": base, "address": where, "message": message}

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:  # noqa: ARG002
        """A message is published each time."""
        return Effect.ONCE

    async def perform(self, request: CallRequest) -> Json:
        """Publish a message; the output is null. Raises WorkflowError."""
        headers = await self._authenticator.list_headers(request.policy)
        if request.arguments["protocol"] == "ws":
            await websocket_messages.publish(request, headers, self._proxies)
        else:
            await nats_messages.publish(request, headers)
        return None

    def open(self, request: CallRequest) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """The messages of a subscription: `payload` and `headers` of each."""
        return self._open(request)

    @asynccontextmanager
    async def _open(self, request: CallRequest) -> AsyncIterator[AsyncIterator[Json]]:
        if request.arguments["protocol"] == "http":
            async with aclosing(self._http.subscribe(request)) as received:
                yield received
            return
        headers = await self._authenticator.list_headers(request.policy)
        is_websocket = request.arguments["protocol"] == "ws"
        opened = (
            websocket_messages.subscribe(request, headers, self._proxies)
            if is_websocket
            else nats_messages.subscribe(request, headers)
        )
        async with opened as messages:
            yield messages


class _Operation:
    """Where an operation sends or receives."""

    def __init__(self, address: str, channel: Mapping[str, Json], bindings: Json) -> None:
        self.address = address
        self.servers = channel.get("servers")
        self.parameters = channel.get("parameters")
        self.bindings = bindings


def _find_operation(document: Document, arguments: Mapping[str, Json]) -> _Operation:
    """By `operation` of version 3, or `channel` of version 2. Raises WorkflowError."""
    channels = document.resolve(document.data.get("channels"))
    if str(document.data["asyncapi"]).startswith("2."):
        name = str(arguments.get("channel") or _find_channel(document, channels, arguments.get("operation")))
        if name not in channels and name.removeprefix("/") in channels:
            name = name.removeprefix("/")
        channel = document.resolve(_look_up(channels, name, "channel"))
        word = "publish" if "message" in arguments else "subscribe"
        return _Operation(name, channel, document.resolve(channel.get(word)).get("bindings"))
    operations = document.resolve(document.data.get("operations"))
    operation = document.resolve(_look_up(operations, str(arguments.get("operation")), "operation"))
    channel = document.resolve(operation.get("channel"))
    return _Operation(str(channel.get("address") or ""), channel, operation.get("bindings"))


def _find_channel(document: Document, channels: Mapping[str, Json], wanted: Json) -> str:
    """The channel of the operation `wanted`, in a document of version 2."""
    for name, item in channels.items():
        channel = document.resolve(item)
        for word in ("publish", "subscribe"):
            if document.resolve(channel.get(word)).get("operationId") == wanted:
                return name
    return str(wanted)


def _look_up(known: Mapping[str, Json], name: str, what: str) -> Json:
    if name not in known:
        listed = ", ".join(list(known)[:20]) or "none"
        raise make_error(ErrorType.CONFIGURATION, f"the AsyncAPI document has no {what} {name}; it has {listed}")
    return known[name]


def _find_server(document: Document, operation: _Operation, arguments: Mapping[str, Json]) -> tuple[str, str]:
    """The protocol and the address of the server that is asked for, or else of the first one that is supported."""
    servers = _list_servers(document, operation)
    asked = arguments.get("server")
    if isinstance(asked, Mapping):
        name = str(asked["name"])
        _look_up(servers, name, "server")
        servers = {name: servers[name]}
    elif "protocol" in arguments:
        servers = {name: one for name, one in servers.items() if _protocol_of(one) == arguments["protocol"]}
    for server in servers.values():
        if (protocol := _protocol_of(server)) in PROTOCOLS.values():
            return protocol, _find_base(document, server, arguments)
    spoken = ", ".join(sorted({str(server.get("protocol")) for server in servers.values()})) or "none that fits"
    listed = "only http, https, nats, ws and wss are supported"
    raise make_error(ErrorType.CONFIGURATION, f"the servers of the operation speak {spoken}: {listed}")


def _list_servers(document: Document, operation: _Operation) -> dict[str, Mapping[str, Json]]:
    """The servers of the channel, or all of the document."""
    known = {name: document.resolve(one) for name, one in document.resolve(document.data.get("servers")).items()}
    if not isinstance(operation.servers, list) or not operation.servers:
        return known
    names: Sequence[str] = [
        str(one["$ref"]).rpartition("/")[2] if isinstance(one, Mapping) and "$ref" in one else str(one)
        for one in operation.servers
    ]
    return {name: known[name] for name in names if name in known}


def _protocol_of(server: Mapping[str, Json]) -> str:
    own = str(server.get("protocol", "")).lower()
    return PROTOCOLS.get(own, own)


def _find_base(document: Document, server: Mapping[str, Json], arguments: Mapping[str, Json]) -> str:
    """`host` and `pathname` of version 3, or `url` of version 2, with the variables filled."""
    scheme = str(server.get("protocol")).lower()
    url = str(server.get("url") or f"{server.get('host')}{server.get('pathname') or ''}")
    filled = _fill(url, document.resolve(server.get("variables")), arguments)
    return filled if "://" in filled else f"{scheme}://{filled}"


def _fill(template: str, declared: Json, arguments: Mapping[str, Json]) -> str:
    """`template` with each `{name}` as `server.variables` of the call, or the default of the document, has it."""
    server = arguments.get("server")
    given = server.get("variables") if isinstance(server, Mapping) else None
    variables = dict(declared) if isinstance(declared, Mapping) else {}
    for name, about in variables.items():
        value = given.get(name) if isinstance(given, Mapping) else None
        if value is None:
            value = about.get("default") if isinstance(about, Mapping) else None
        if value is None and f"{{{name}}}" in template:
            why = "give it in server.variables of the call"
            raise make_error(ErrorType.CONFIGURATION, f"{{{name}}} of {template} has no value: {why}")
        template = template.replace(f"{{{name}}}", write_single(value))
    return template


def _join(base: str, address: str) -> str:
    return f"{base.rstrip('/')}/{address.lstrip('/')}" if address else base
