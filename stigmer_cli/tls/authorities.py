"""Whom the certificates of models and tool servers may be of."""

import ssl


def read_authorities() -> ssl.SSLContext:
    """The authorities of SSL_CERT_FILE or SSL_CERT_DIR, else the library's own; it takes 20 ms to read them.

    Raises OSError, with a sentence, where they cannot be read.
    """
    from httpx2 import create_ssl_context  # noqa: PLC0415 - what both libraries are built on, which few need

    try:
        return create_ssl_context(trust_env=True)
    except OSError as error:
        raise OSError(f"what SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}") from error
