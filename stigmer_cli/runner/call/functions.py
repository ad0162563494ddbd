"""All functions that a workflow can call, by name. Another protocol is a module here, and a line."""

import httpx

from stigmer_cli.clock import Clock, SystemClock
from stigmer_cli.runner.call.a2a import A2aCall
from stigmer_cli.runner.call.asyncapi import AsyncApiCall, find_refusal
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.container import ContainerProcess
from stigmer_cli.runner.call.container_engine import ContainerOwner
from stigmer_cli.runner.call.grpc import GrpcCall, find_missing
from stigmer_cli.runner.call.http import HttpCall
from stigmer_cli.runner.call.mcp import McpCall
from stigmer_cli.runner.call.openapi import OpenApiTranslation
from stigmer_cli.runner.call.process import USUAL_PATH, Hear, ScriptProcess, ShellProcess
from stigmer_cli.runner.call.resource import Resources
from stigmer_cli.tool_server.connection import ServerSettings
from stigmer_cli.workflow.runtime import Functions


def make_functions(
    client: httpx.AsyncClient,
    clock: Clock | None = None,
    servers: ServerSettings | None = None,
    hear: Hear | None = None,
    *,
    has_children: bool = False,
) -> Functions:
    """The functions, which send their requests with `client`, and keep the tokens of those requests.

    `servers`: how servers of tools are started; their programs are found in its PATH. `hear` takes what processes write
    to standard error, line by line. `has_children`: there is a server that accepts other executions.
    """
    clock = clock or SystemClock()
    servers = servers or ServerSettings(environ={"PATH": USUAL_PATH})
    authenticator = Authenticator(client, clock)
    resources = Resources(client, authenticator)
    mcp = McpCall(authenticator, servers, clock)
    grpc = GrpcCall(authenticator, resources, clock)
    asyncapi = AsyncApiCall(client, authenticator, resources, servers.proxies)
    return Functions(
        processes={
            "shell": ShellProcess(hear=hear),
            "script": ScriptProcess(hear=hear),
            "container": ContainerProcess(servers.environ, clock, hear, ContainerOwner(servers.run)),
        },
        detached={"container": ContainerProcess(servers.environ, clock, is_detached=True)},
        calls={
            "http": HttpCall(client, authenticator),
            "mcp": mcp,
            "grpc": grpc,
            "asyncapi": asyncapi,
            "a2a": A2aCall(client, authenticator, resources),
        },
        translations={"openapi": OpenApiTranslation(resources), "mcp": mcp, "grpc": grpc, "asyncapi": asyncapi},
        subscriptions={"asyncapi": asyncapi},
        resources=resources,
        has_children=has_children,
        refusals={"grpc": lambda _arguments: find_missing(), "asyncapi": find_refusal},
    )
