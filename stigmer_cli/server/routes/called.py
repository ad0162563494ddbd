"""The services of the application that a request came to."""

from typing import Annotated

from fastapi import Depends, Request

from stigmer_cli.server.services import Services


async def services(request: Request) -> Services:
    """The services of the application that `request` came to; a coroutine, or FastAPI calls it in a thread."""
    found = request.app.state.services
    if not isinstance(found, Services):
        raise TypeError("the application was built without its services")
    return found


Called = Annotated[Services, Depends(services)]
