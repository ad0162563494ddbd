"""One-time links to the web UI, for clients with the token."""

from fastapi import APIRouter, Request

from stigmer_cli.api.ui import UiLink, UiLinkRequest
from stigmer_cli.errors import NotFound
from stigmer_cli.server.ui.access import OPEN_PATH, UiAccess
from stigmer_cli.server.ui.sessions import LINK_MAX_S

WITHOUT_UI = "stigmer down, then stigmer up --ui; where Temporal runs elsewhere: STIGMER_UI_ADDRESS for the server"

router = APIRouter(prefix="/v1")


@router.post("/ui/links", status_code=201)
async def make_link(body: UiLinkRequest, request: Request) -> UiLink:
    """A link that gives one browser a session of the web UI."""
    access = request.app.state.ui
    if not isinstance(access, UiAccess):
        raise TypeError("the application was built without its web UI")
    if access.address is None:
        raise NotFound("the server has no web UI of Temporal to show", hint=WITHOUT_UI)
    return UiLink(path=f"{OPEN_PATH}?once={access.links.make(body.path)}", expires_in_s=LINK_MAX_S)
