"""Listening sockets."""

import socket

from weightcast.errors import ParameterError


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


def url_of(listener: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
