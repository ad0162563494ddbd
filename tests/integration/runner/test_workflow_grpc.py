"""`call: grpc` against a real server: by a proto, by a set of descriptors, and by reflection."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

grpc = pytest.importorskip("grpc")  # comes with an extra, and is in tests/requirements.lock

from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: E402
from google.protobuf.descriptor_pool import DescriptorPool  # noqa: E402
from google.protobuf.message_factory import GetMessageClass  # noqa: E402
from grpc_reflection.v1alpha import reflection  # noqa: E402
from grpc_reflection.v1alpha.reflection_pb2 import (  # noqa: E402
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from stigmer_cli.domain.step import Effect  # noqa: E402
from stigmer_cli.workflow.authentication import Policy  # noqa: E402
from stigmer_cli.workflow.error import WorkflowError  # noqa: E402
from stigmer_cli.workflow.json_value import Json  # noqa: E402
from stigmer_cli.workflow.runtime import CallRequest, Functions  # noqa: E402

PROTO = """
syntax = "proto3";
package test.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/any.proto";
message Name { string name = 1; int64 times = 2; google.protobuf.Any more = 3; }
message Title { string title = 1; }
message Greeting { string text_said = 1; int32 count = 2; google.protobuf.Timestamp at = 3;
  google.protobuf.Any more = 4; }
service Greeter {
  rpc Greet (Name) returns (Greeting);
  rpc Look (Name) returns (Greeting) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc GreetOften (Name) returns (stream Greeting);
  rpc GreetAll (stream Name) returns (Greeting);
}
"""


class Greeter:
    """Serves the proto without generated code."""

    def __init__(self, pool: DescriptorPool) -> None:
        self.metadata: dict[str, str] = {}
        self._name = GetMessageClass(pool.FindMessageTypeByName("test.v1.Name"))
        self._greeting = GetMessageClass(pool.FindMessageTypeByName("test.v1.Greeting"))

    def service(self, details: Any) -> Any:
        if not details.method.startswith("/test.v1.Greeter/"):
            return None
        self.metadata = dict(details.invocation_metadata)
        codec = {
            "request_deserializer": self._name.FromString,
            "response_serializer": self._greeting.SerializeToString,
        }
        if details.method == "/test.v1.Greeter/GreetOften":
            return grpc.unary_stream_rpc_method_handler(self._greet_often, **codec)
        return grpc.unary_unary_rpc_method_handler(self._greet, **codec)

    def _greet(self, asked: Any, context: Any) -> Any:
        if asked.name == "OTHER":
            return self._greeting(more={"type_url": "type.googleapis.com/test.v1.Other"})
        if not asked.name:
            context.abort(grpc.StatusCode.NOT_FOUND, "nobody is there")
        return self._greeting(text_said=f"hello {asked.name}", more=asked.more if asked.HasField("more") else None)

    def _greet_often(self, asked: Any, _context: Any) -> Any:
        for count in range(asked.times):
            yield self._greeting(text_said=asked.name, count=count)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proto")
    (folder / "greeter.proto").write_text(PROTO)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports"]
    subprocess.run([*command, f"--descriptor_set_out={folder}/greeter.pb", "greeter.proto"], check=True, cwd=folder)
    return folder


def _without_well_known(pool: DescriptorPool) -> Any:
    """As servers in the world are: they describe their own files only."""

    class OwnFiles:
        def FindFileByName(self, name: str) -> Any:  # noqa: N802 - of the library
            if name.startswith("google/"):
                raise KeyError(name)
            return pool.FindFileByName(name)

        def FindFileContainingSymbol(self, name: str) -> Any:  # noqa: N802
            return pool.FindFileContainingSymbol(name)

    return OwnFiles()


def _read_pool(compiled: Path) -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString((compiled / "greeter.pb").read_bytes()).file:
        pool.Add(file)
    return pool


@pytest.fixture(scope="module")
def newer_server(compiled: Path) -> Iterator[int]:
    """It describes itself by the stable version of reflection only, whose messages are those of the one before."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    pool = _read_pool(compiled)
    described = reflection.ReflectionServicer(["test.v1.Greeter"], pool=_without_well_known(pool))
    method = grpc.stream_stream_rpc_method_handler(
        described.ServerReflectionInfo,
        request_deserializer=ServerReflectionRequest.FromString,
        response_serializer=ServerReflectionResponse.SerializeToString,
    )
    handlers = {"ServerReflectionInfo": method}
    running = grpc.server(ThreadPoolExecutor(4))
    running.add_generic_rpc_handlers(
        (Greeter(pool), grpc.method_handlers_generic_handler("grpc.reflection.v1.ServerReflection", handlers))
    )
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield port
    running.stop(grace=None).wait()


@pytest.fixture(scope="module")
def server(compiled: Path) -> Iterator[tuple[int, Greeter]]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    pool = _read_pool(compiled)
    greeter = Greeter(pool)
    running = grpc.server(ThreadPoolExecutor(4))
    running.add_generic_rpc_handlers((greeter,))
    reflection.enable_server_reflection(["test.v1.Greeter"], running, pool=_without_well_known(pool))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield port, greeter
    running.stop(grace=None).wait()


def _ask(proto: str, port: int, method: str, arguments: Json = None, policy: Policy | None = None) -> CallRequest:
    service: Json = {"name": "test.v1.Greeter", "host": "127.0.0.1", "port": port}
    given: dict[str, Json] = {"proto": proto, "service": service, "method": method, "arguments": arguments}
    return CallRequest(function="grpc", arguments=given, policy=policy, idempotency_key="key-1")


async def test_a_method_is_called_by_proto_descriptors_and_reflection(
    compiled: Path, server: tuple[int, Greeter], functions: Functions
) -> None:
    port, greeter = server
    expected = {"textSaid": "hello Ada", "count": 0}
    shown = Policy(scheme="bearer", properties={"token": "t"})
    for proto in (f"file://{compiled}/greeter.proto", f"file://{compiled}/greeter.pb", f"grpc://127.0.0.1:{port}"):
        assert await functions.calls["grpc"].perform(_ask(proto, port, "Greet", {"name": "Ada"}, shown)) == expected
        assert (greeter.metadata["authorization"], greeter.metadata["idempotency-key"]) == ("Bearer t", "key-1")


async def test_a_server_that_has_the_stable_version_of_reflection_only_describes_itself(
    newer_server: int, functions: Functions
) -> None:
    request = _ask(f"grpc://127.0.0.1:{newer_server}", newer_server, "Greet", {"name": "Ada"})
    assert await functions.calls["grpc"].perform(request) == {"textSaid": "hello Ada", "count": 0}


async def test_what_is_packed_in_a_message_is_of_the_types_of_its_proto(
    compiled: Path, server: tuple[int, Greeter], functions: Functions
) -> None:
    proto, perform = f"file://{compiled}/greeter.pb", functions.calls["grpc"].perform
    packed: Json = {"@type": "type.googleapis.com/test.v1.Title", "title": "Dr"}
    asked = _ask(proto, server[0], "Greet", {"name": "Ada", "more": packed})
    assert await perform(asked) == {"textSaid": "hello Ada", "count": 0, "more": packed}
    unknown: Json = {"@type": "type.googleapis.com/test.v1.Other"}
    with pytest.raises(WorkflowError, match=r"the arguments of .*test\.v1\.Other"):
        await perform(_ask(proto, server[0], "Greet", {"name": "Ada", "more": unknown}))
    with pytest.raises(WorkflowError, match=r"Greeting is no JSON: .*test\.v1\.Other") as caught:
        await perform(_ask(proto, server[0], "Greet", {"name": "OTHER"}))
    assert str(caught.value.fields["type"]).endswith("communication")


async def test_the_effect_is_what_the_proto_says_of_the_method(
    compiled: Path, server: tuple[int, Greeter], functions: Functions
) -> None:
    proto, call = f"file://{compiled}/greeter.pb", functions.calls["grpc"]
    effects = {}
    for method in ("Greet", "Look"):
        _, arguments = await functions.translations["grpc"].translate(_ask(proto, server[0], method))
        effects[method] = call.find_effect(arguments)
    assert effects == {"Greet": Effect.ONCE, "Look": Effect.REPEATABLE}


async def test_a_stream_of_responses_is_a_list(
    compiled: Path, server: tuple[int, Greeter], functions: Functions
) -> None:
    request = _ask(f"file://{compiled}/greeter.pb", server[0], "GreetOften", {"name": "a", "times": 2})
    expected = [{"textSaid": "a", "count": 0}, {"textSaid": "a", "count": 1}]
    assert await functions.calls["grpc"].perform(request) == expected


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        (("greeter.pb", "Greet", {}), 404, "Greeter.Greet at 127.0.0.1:.*: NOT_FOUND: nobody is there"),
        (("greeter.pb", "Shout", {}), 400, "has no method Shout; it has Greet, Look"),
        (("greeter.pb", "GreetAll", {}), 400, "takes a stream"),
        (("greeter.pb", "Greet", {"nam": "x"}), 400, 'no field named "nam"'),
        (("nothing.proto", "Greet", {}), 500, "cannot be read: No such file"),
    ],
)
async def test_a_call_that_cannot_be_made_says_why(
    asked: tuple[str, str, Json],
    status: int,
    words: str,
    compiled: Path,
    server: tuple[int, Greeter],
    functions: Functions,
) -> None:
    proto, method, arguments = asked
    with pytest.raises(WorkflowError, match=words) as caught:
        await functions.calls["grpc"].perform(_ask(f"file://{compiled}/{proto}", server[0], method, arguments))
    assert caught.value.fields["status"] == status


async def test_a_server_that_is_not_there_and_a_proto_that_is_none_are_errors(
    compiled: Path, functions: Functions
) -> None:
    perform = functions.calls["grpc"].perform
    with pytest.raises(WorkflowError, match="UNAVAILABLE") as caught:
        await perform(_ask(f"file://{compiled}/greeter.pb", 1, "Greet", {"name": "x"}))
    assert caught.value.fields["status"] == 503
    (compiled / "wrong.proto").write_text("syntax = 'proto9';")
    with pytest.raises(WorkflowError, match=r"is no proto: service\.proto:1"):
        await perform(_ask(f"file://{compiled}/wrong.proto", 1, "Greet"))
