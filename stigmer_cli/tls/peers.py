"""The other ends that there are: a Stigmer server over HTTP, and Temporal over gRPC."""

from urllib.parse import urlsplit

from stigmer_cli.tls.handshake import Peer

HTTPS, HTTP = 443, 80
SETTINGS_FRAME, FRAME_TYPE_AT = 4, 3
"""RFC 9113, 4.1 and 6.5: the fourth byte of a frame is its type."""

GRPC_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def server_peer(url: str) -> Peer:
    """The server at `url`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (HTTPS if parts.scheme == "https" else HTTP)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Peer(
        host=host,
        port=port,
        greeting=f"GET /livez HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode(),
        is_answer=lambda first: first.startswith(b"HTTP/"),
        alpn=("http/1.1",),
        tls_setting=f"set STIGMER_SERVER_URL to https://{where}",
        plain_setting=f"set STIGMER_SERVER_URL to http://{where}, or give the server its STIGMER_TLS_CERT_FILE",
    )


def temporal_peer(address: str) -> Peer:
    """The Temporal at HOST:PORT."""
    host, _, port = address.rpartition(":")
    return Peer(
        host=host.strip("[]"),
        port=int(port),
        greeting=GRPC_PREFACE,
        is_answer=lambda first: first[FRAME_TYPE_AT] == SETTINGS_FRAME,
        alpn=("h2",),
        tls_setting="set STIGMER_TEMPORAL_TLS=true",
        plain_setting="set STIGMER_TEMPORAL_TLS=false, and name no files for TLS",
    )
