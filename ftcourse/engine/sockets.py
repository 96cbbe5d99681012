"""Addresses to listen at."""

import os
import socket

from ftcourse.engine.folders import reason
from ftcourse.engine.messages import message

MANY = 256  # connections that may wait


def listen(host: str, port: int, lang: str) -> socket.socket:
    """A socket at an address; port 0 stands for any that is free. `OSError` says what to do where it is taken.

    >>> with listen("127.0.0.1", 0, "en") as sock:
    ...     sock.getsockname()[0]
    '127.0.0.1'
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, UnicodeError) as error:  # the latter where a host cannot be a name at all
        sock.close()
        values = {"given": f"{host}:{port}", "reason": reason(error)}
        raise OSError(message(lang, "cli", "listen_address", **values)) from error
    sock.listen(MANY)
    return sock
