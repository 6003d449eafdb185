"""Is there a server, and does it speak TLS? Asked with bare sockets, before any client."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Open a TCP connection.

    Raises:
        OSError: as of the system; ``socket.gaierror`` when the name is not known.
    """
    return socket.create_connection((host, port), timeout=timeout)


def tls_of(host: str, port: int, timeout: float) -> tuple[str, str] | None:
    """TLS version and cipher of the server, whatever its certificate; ``None``: it speaks none.

    Raises:
        OSError: nothing listens there.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with closing(connect(host, port, timeout)) as plain:
        plain.settimeout(timeout)
        try:
            with context.wrap_socket(plain, server_hostname=host) as secure:
                cipher = secure.cipher()
                return str(secure.version()), cipher[0] if cipher else ""
        except (OSError, ValueError):
            return None
