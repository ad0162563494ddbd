"""All functions that a workflow can call, by name. Another protocol is a module here, and a line."""

import httpx

from stigmer_cli.clock import Clock
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.http import HttpCall
from stigmer_cli.runner.call.openapi import OpenApiTranslation
from stigmer_cli.runner.call.process import ScriptProcess, ShellProcess
from stigmer_cli.runner.call.resource import Resources
from stigmer_cli.workflow.runtime import Functions


def make_functions(client: httpx.AsyncClient, clock: Clock | None = None) -> Functions:
    """The functions, which send their requests with `client`, and keep the tokens of those requests."""
    authenticator = Authenticator(client, clock)
    resources = Resources(client, authenticator)
    return Functions(
        processes={"shell": ShellProcess(), "script": ScriptProcess()},
        calls={"http": HttpCall(client, authenticator)},
        translations={"openapi": OpenApiTranslation(resources)},
    )
