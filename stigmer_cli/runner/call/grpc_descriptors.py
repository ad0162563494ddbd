"""What a service of gRPC offers: by its proto, by a set of descriptors, or by what its server says (reflection)."""

import asyncio
import hashlib
import importlib
import re
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from stigmer_cli.clock import Clock
from stigmer_cli.runner.call.process import USUAL_PATH
from stigmer_cli.runner.call.resource import Resources
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import ErrorType, make_error

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool

Open: TypeAlias = "Callable[[str], grpc.aio.Channel]"
"""Opens a channel to `HOST:PORT`."""

REFLECTION = ("grpc://", "grpcs://")
"""How the address of a proto begins that the server itself is to tell."""

VERSIONS = ("v1", "v1alpha")
"""Of reflection: a server has one of them, or both. Their messages are the same."""

WELL_KNOWN = re.compile(r"google/protobuf/([a-z_]+)\.proto")

SETS = (".pb", ".binpb", ".desc", ".protoset")
"""How the address of a set of descriptors ends."""

KNOWN_MAX = 32
FRESH_S = 60.0
"""How long what a server said of itself is believed."""

COMPILE_S_MAX = 60.0
REFLECTION_S_MAX = 30.0
FILES_MAX = 1_000
SAID_CHARS_MAX = 500


class Descriptors:
    """The descriptors of services, which are kept: those of a proto while it has not changed."""

    def __init__(self, resources: Resources, clock: Clock, open_channel: Open) -> None:
        self._resources = resources
        self._clock = clock
        self._open_channel = open_channel
        self._known: OrderedDict[str, tuple[float, DescriptorPool]] = OrderedDict()

    async def find(
        self, address: str, policy: Policy | None, service: str, headers: Mapping[str, str]
    ) -> "DescriptorPool":
        """The descriptors of `service`; `headers` authenticate where its server is asked. Raises WorkflowError."""
        if address.startswith(REFLECTION):
            key, content = f"{address} {service}", None
        else:
            content = await self._resources.fetch(address, policy)
            key = hashlib.sha256(content).hexdigest()
        since_s, pool = self._known.get(key, (0.0, None))
        if pool is None or (content is None and self._clock.monotonic() - since_s > FRESH_S):
            pool = await self._load(address, service, content, headers)
            self._known[key] = self._clock.monotonic(), pool
        self._known.move_to_end(key)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return pool

    async def _load(
        self, address: str, service: str, content: bytes | None, headers: Mapping[str, str]
    ) -> "DescriptorPool":
        if content is None:
            async with self._open_channel(address.partition("://")[2].rstrip("/")) as channel:
                return await _ask_server(channel, service, headers, address)
        if not address.endswith(SETS):
            content = await _compile(address, content)
        try:
            return _make_pool(_parse_set(content))
        except Exception as error:  # the library raises its own, and TypeError
            raise make_error(ErrorType.CONFIGURATION, f"{address} is no set of descriptors: {error}") from error


def _parse_set(content: bytes) -> list[bytes]:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415 - with the extra

    return [file.SerializeToString() for file in FileDescriptorSet.FromString(content).file]


def _make_pool(files: list[bytes]) -> "DescriptorPool":
    """A pool of its own for each service: two protos may have the same names. Files come before those that use them."""
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415 - with the extra

    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file)
    return pool


async def _compile(address: str, content: bytes) -> bytes:
    """The set of descriptors of a proto. Raises WorkflowError with what the compiler says."""
    with tempfile.TemporaryDirectory(prefix="stigmer-proto-") as folder:
        source, compiled = Path(folder) / "service.proto", Path(folder) / "service.pb"
        await asyncio.to_thread(source.write_bytes, content)
        options = [f"-I{folder}", *_list_folders(address), "--include_imports", f"--descriptor_set_out={compiled}"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "grpc_tools.protoc", *options, source.name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": USUAL_PATH},
        )
        try:
            async with asyncio.timeout(COMPILE_S_MAX):
                _, said = await process.communicate()
        except TimeoutError as error:
            raise make_error(ErrorType.CONFIGURATION, f"{address}: the compiler of protos does not end") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            words = " ".join(said.decode("utf-8", "replace").replace(f"{folder}/", "").split())[:SAID_CHARS_MAX]
            raise make_error(ErrorType.CONFIGURATION, f"{address} is no proto: {words}")
        return await asyncio.to_thread(compiled.read_bytes)


def _list_folders(address: str) -> list[str]:
    """Where a proto that is a file finds what it imports: beside it."""
    parts = urlsplit(address)
    path = Path(unquote(f"{parts.netloc}{parts.path}")).absolute()
    return [f"-I{path.parent}"] if parts.scheme == "file" else []


async def _ask_server(
    channel: "grpc.aio.Channel", service: str, headers: Mapping[str, str], address: str
) -> "DescriptorPool":
    """All files of `service`, as the server describes them."""
    metadata = [(name.lower(), value) for name, value in headers.items()]
    files = {file.name: file for file in await _ask(channel, metadata, address, file_containing_symbol=service)}
    while missing := next((name for file in files.values() for name in file.dependency if name not in files), None):
        known = _find_well_known(missing)
        answer = [known] if known else await _ask(channel, metadata, address, file_by_filename=missing)
        told = {file.name: file for file in answer}
        if missing not in told or len(files) > FILES_MAX:
            raise make_error(ErrorType.CONFIGURATION, f"{address} does not describe {missing}")
        files = {**told, **files}
    order = TopologicalSorter({name: list(file.dependency) for name, file in files.items()}).static_order()
    return _make_pool([files[name].SerializeToString() for name in order])


def _find_well_known(name: str) -> "FileDescriptorProto | None":
    """A file of Google's own, which not every server describes; None for any other."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # noqa: PLC0415 - with the extra

    found = WELL_KNOWN.fullmatch(name)
    try:
        module = importlib.import_module(f"google.protobuf.{found[1]}_pb2") if found else None
    except ImportError:
        return None
    return None if module is None else FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


async def _ask(
    channel: "grpc.aio.Channel", metadata: Sequence[tuple[str, str]], address: str, **question: str
) -> "list[FileDescriptorProto]":
    """The files in the answer to one question, by the first version that the server has. Raises WorkflowError."""
    import grpc  # noqa: PLC0415 - with the extra

    versions = list(VERSIONS)
    while True:
        method = f"/grpc.reflection.{versions.pop(0)}.ServerReflection/ServerReflectionInfo"
        try:
            return await _ask_by(channel, method, metadata, address, question)
        except grpc.RpcError as error:
            # INTERNAL: the answer that it lacks the method came before the question was sent, which then failed.
            if versions and error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL):
                continue
            detail = f"{address} does not describe its service: {error.code().name}: {error.details()}"
            raise make_error(ErrorType.COMMUNICATION, detail[:SAID_CHARS_MAX]) from error


async def _ask_by(
    channel: "grpc.aio.Channel",
    method: str,
    metadata: Sequence[tuple[str, str]],
    address: str,
    question: Mapping[str, str],
) -> "list[FileDescriptorProto]":
    """The same by one method. Raises WorkflowError for what the server answers, and grpc.RpcError."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # noqa: PLC0415 - with the extra
    from grpc_reflection.v1alpha.reflection_pb2 import (  # noqa: PLC0415
        ServerReflectionRequest,
        ServerReflectionResponse,
    )

    async def questions() -> "AsyncIterator[ServerReflectionRequest]":
        yield ServerReflectionRequest(**question)

    call = channel.stream_stream(
        method,
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )(questions(), metadata=metadata, timeout=REFLECTION_S_MAX)
    found: list[FileDescriptorProto] = []
    async for answer in call:
        if answer.HasField("error_response"):
            said = answer.error_response.error_message
            raise make_error(ErrorType.CONFIGURATION, f"{address} does not describe its service: {said}")
        found += map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return found
