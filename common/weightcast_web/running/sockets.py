"""Listening sockets, and which of them need a token."""

import re
import socket
from ipaddress import IPv6Address, ip_address

from weightcast.errors import ParameterError
from weightcast_web.settings import ServiceSettings

DEVELOPMENT_TOKEN = "weightcast-development-token"
"""What the containers use when nobody has set a token; anyone can read it here."""
MIN_PRODUCTION_LENGTH = 32


def listen(settings: ServiceSettings, attached: int | None) -> socket.socket:
    """Return the socket that a service is to serve on.

    Args:
        settings: where, and with which token.
        attached: number of the socket that a parent process has left open; None opens one.

    Raises:
        ParameterError: there is no such socket, or it may not be used with this token.
    """
    listener = bind(settings.host, settings.port) if attached is None else inherit(attached)
    try:
        _check_token(settings, listener.getsockname()[0])
    except ParameterError:
        listener.close()
        raise
    return listener


def _check_token(settings: ServiceSettings, address: str) -> None:
    """Raise `ParameterError`, which says what to set, unless the token will do."""
    name = f"{settings.model_config.get('env_prefix', '')}TOKEN"
    if settings.token is None:
        if settings.production:
            raise ParameterError(f"production needs a token: set {name}")
        if not _is_loopback(address):
            raise ParameterError(f"listening on {address} needs a token: set {name}")
        return
    token = settings.token.get_secret_value()
    if not re.fullmatch("[!-~]+", token):
        raise ParameterError(f"{name} must be one or more visible ASCII characters")
    if settings.production and token == DEVELOPMENT_TOKEN:
        raise ParameterError(
            f"production needs a token of its own: {name} is the one for trying"
            " (Compose: set WEIGHTCAST_TOKEN)"
        )
    if settings.production and len(token) < MIN_PRODUCTION_LENGTH:
        raise ParameterError(
            f"{name} needs {MIN_PRODUCTION_LENGTH} characters in production, has {len(token)}"
            " (Compose: WEIGHTCAST_TOKEN)"
        )


def _is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    ip = ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        ParameterError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError, UnicodeError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise ParameterError(f"cannot listen on {host}:{port}: {why}") from None
    return listener


def inherit(fd: int) -> socket.socket:
    """Return the listening socket that a parent process has left open.

    Raises:
        ParameterError: there is none under this number.
    """
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        raise ParameterError(f"descriptor {fd} is not a socket: {error.strerror}") from None


def address_of(listener: socket.socket) -> str:
    """Return where a listening socket is reached: its URL, from here if it is on all addresses."""
    url = url_of(listener)
    if not ip_address(listener.getsockname()[0].partition("%")[0]).is_unspecified:
        return url
    here = url.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    return f"all addresses, here {here}"


def url_of(listener: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
