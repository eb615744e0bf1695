"""Certificates that calls over TLS trust."""

import ssl

import httpx

from weightcast.errors import ParameterError


def trusted() -> ssl.SSLContext:
    """Return the public authorities, or those of `SSL_CERT_FILE` or `SSL_CERT_DIR`.

    Raises:
        ParameterError: these cannot be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ParameterError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error}") from None
