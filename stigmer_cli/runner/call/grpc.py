"""`call: grpc`: a method of a service, by descriptors that are found when it is called."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from stigmer_cli.clock import Clock
from stigmer_cli.domain.step import Effect
from stigmer_cli.extras import is_installed
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.grpc_descriptors import Descriptors
from stigmer_cli.runner.call.http import CONTENT_BYTES_MAX, SILENT_S_MAX
from stigmer_cli.runner.call.mcp import EFFECT
from stigmer_cli.runner.call.resource import Resources
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

LIBRARIES = ("grpc", "grpc_reflection", "grpc_tools")
MISSING = "call: grpc needs libraries that are not installed: pip install 'stigmer-cli[grpc]'"
TLS_PORT = 443
SAID_CHARS_MAX = 1_000

STATUS: Mapping[str, int] = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
"""The HTTP status of each code, as google.rpc.Code has it; 500 for those that are left."""


def find_missing() -> str:
    """Why no method can be called here, as a sentence; empty if one can."""
    return "" if all(is_installed(library) for library in LIBRARIES) else MISSING


class GrpcCall:
    """Calls a method, and finds out first what calling it twice would do."""

    def __init__(self, authenticator: Authenticator, resources: Resources, clock: Clock) -> None:
        self._authenticator = authenticator
        self._descriptors = Descriptors(resources, clock, open_channel)

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        """By the option `idempotency_level` of the method."""
        said = arguments.get(EFFECT)
        return Effect(said) if isinstance(said, str) and said in {*Effect} else Effect.ONCE

    def is_needed(self, arguments: Mapping[str, Json], said: Effect | None) -> bool:  # noqa: ARG002
        """Whether the descriptors have to be asked first: not where the task says the effect."""
        return said is None

    async def translate(self, request: CallRequest) -> tuple[str, Mapping[str, Json]]:
        """The same call with the effect of its method. Raises WorkflowError."""
        method = await self._find_method(request, await self._authenticator.list_headers(request.policy))
        is_repeatable = bool(method.GetOptions().idempotency_level)
        effect = Effect.REPEATABLE if is_repeatable else Effect.ONCE
        return request.function, {**request.arguments, EFFECT: effect.value}

    async def perform(self, request: CallRequest) -> Json:
        """The response as JSON; of a method with a stream of responses the list of all.

        Raises WorkflowError: of the type communication, with the status of HTTP for the code of the answer; of the type
        configuration where there is no such method, or the arguments do not fit its message.
        """
        headers = await self._authenticator.list_headers(request.policy)
        method = await self._find_method(request, headers)
        return await _invoke(request, method, headers)

    async def _find_method(self, request: CallRequest, headers: Mapping[str, str]) -> "MethodDescriptor":
        if missing := find_missing():
            raise make_error(ErrorType.CONFIGURATION, missing)
        service, name = _read_service(request)["name"], str(request.arguments["method"])
        address = str(request.arguments["proto"])
        # What authenticates at the service is not for another host that describes it.
        own = headers if address.partition("://")[2].rstrip("/") == _find_target(request) else {}
        pool = await self._descriptors.find(address, request.resource_policy, str(service), own)
        try:
            methods = {method.name: method for method in pool.FindServiceByName(str(service)).methods}
        except KeyError as error:
            raise make_error(ErrorType.CONFIGURATION, f"{address} has no service {service}") from error
        if name not in methods:
            raise make_error(ErrorType.CONFIGURATION, f"{service} has no method {name}; it has {', '.join(methods)}")
        return methods[name]


def open_channel(target: str) -> "grpc.aio.Channel":
    """A channel to `HOST:PORT`: with TLS at port 443, without at any other."""
    import grpc.aio  # noqa: PLC0415 - with the extra

    options = [("grpc.max_receive_message_length", CONTENT_BYTES_MAX), ("grpc.enable_http_proxy", 0)]
    if target.endswith(f":{TLS_PORT}"):
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=options)
    return grpc.aio.insecure_channel(target, options=options)


def _read_service(request: CallRequest) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", request.arguments["service"])


def _find_target(request: CallRequest) -> str:
    service = _read_service(request)
    return f"{service['host']}:{service.get('port', TLS_PORT)}"


async def _invoke(request: CallRequest, method: "MethodDescriptor", headers: Mapping[str, str]) -> Json:
    import grpc  # noqa: PLC0415 - with the extra
    from google.protobuf.json_format import ParseDict, ParseError  # noqa: PLC0415
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    if method.client_streaming:
        raise make_error(ErrorType.CONFIGURATION, f"{method.full_name} takes a stream, which a call cannot send")
    asked, answered = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    given = cast("dict[str, Json]", request.arguments.get("arguments") or {})
    try:
        message = ParseDict(given, asked(), descriptor_pool=method.input_type.file.pool)
    except ParseError as error:
        raise make_error(ErrorType.CONFIGURATION, f"the arguments of {method.full_name}: {error}") from error
    metadata = [(name.lower(), value) for name, value in headers.items()]
    metadata.append(("idempotency-key", request.idempotency_key))
    target = _find_target(request)
    try:
        async with open_channel(target) as channel:
            make = channel.unary_stream if method.server_streaming else channel.unary_unary
            call = make(
                f"/{method.containing_service.full_name}/{method.name}",
                request_serializer=asked.SerializeToString,
                response_deserializer=answered.FromString,
            )(message, metadata=metadata, timeout=SILENT_S_MAX)
            return await _read_all(call) if method.server_streaming else _write(await call)
    except grpc.RpcError as error:
        raise _refuse(f"{method.full_name} at {target}", error) from error


async def _read_all(call: "grpc.aio.UnaryStreamCall") -> Json:
    found: list[Json] = []
    length = 0
    async for message in call:
        length += message.ByteSize()
        if length > CONTENT_BYTES_MAX:
            raise make_error(ErrorType.COMMUNICATION, f"the responses are longer than {CONTENT_BYTES_MAX:,} bytes")
        found.append(_write(message))
    return found


def _write(message: "Message") -> Json:
    """A message as JSON, with the fields that have their default value. Raises WorkflowError.

    What is packed in it (`google.protobuf.Any`) is of a type that its own descriptors have.
    """
    from google.protobuf.json_format import MessageToDict, SerializeToJsonError  # noqa: PLC0415 - with the extra
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    pool = cast("DescriptorPool", message.DESCRIPTOR.file.pool)
    try:
        found = MessageToDict(message, always_print_fields_with_no_presence=True, descriptor_pool=pool)
    except (SerializeToJsonError, DecodeError, TypeError, ValueError) as error:
        detail = f"the response of the type {message.DESCRIPTOR.full_name} is no JSON: {error}"
        raise make_error(ErrorType.COMMUNICATION, detail) from error
    return cast("Json", found)


def _refuse(what: str, error: "grpc.RpcError") -> WorkflowError:
    code, said = error.code().name, str(error.details() or "")[:SAID_CHARS_MAX]
    detail = f"{what}: {code}{': ' if said else ''}{said}"
    return make_error(ErrorType.COMMUNICATION, detail, status=STATUS.get(code, 500), title=code)
