"""The web UI's one-time link on the wire."""

from stigmer_cli.api.wire import Asked, Sent


class UiLinkRequest(Asked):
    """What is asked for: a link that opens the page at `path`."""

    path: str = "/ui/"


class UiLink(Sent):
    """A path on the server, with a secret in it that works once and for `expires_in_s` seconds."""

    path: str
    expires_in_s: float
