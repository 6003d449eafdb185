"""TLS as ``Connection(ssl=...)`` asks for it, for clients that take a context."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from kombu.utils.url import parse_ssl_cert_reqs


def tls_context(settings: Any) -> ssl.SSLContext | None:
    """The TLS that is asked for.

    Arguments:
        settings: ``True`` for the system's authorities, a context, or a mapping of ``ca_certs``,
            ``certfile`` and ``keyfile``, paths all, and ``cert_reqs``, of which ``ssl.CERT_NONE``
            or ``"none"`` takes any certificate; anything false: no TLS.

    Raises:
        ValueError: it has other keys, or ``cert_reqs`` is none of these.
    """
    if not settings:
        return None
    if isinstance(settings, ssl.SSLContext):
        return settings
    given = dict(settings) if isinstance(settings, Mapping) else {}
    context = ssl.create_default_context(cafile=given.pop("ca_certs", None))
    certificate, key = given.pop("certfile", None), given.pop("keyfile", None)
    wanted = given.pop("cert_reqs", ssl.CERT_REQUIRED)
    if given:
        known = "ca_certs, certfile, keyfile and cert_reqs"
        raise ValueError(f"ssl takes {known}, not {', '.join(map(str, given))}")
    if certificate:
        context.load_cert_chain(certificate, key)
    if isinstance(wanted, str):
        try:
            wanted = parse_ssl_cert_reqs(wanted.lower().removeprefix("cert_"))
        except KeyError:
            raise ValueError(f"ssl option 'cert_reqs' can't be {wanted!r}") from None
    if wanted != ssl.CERT_REQUIRED:
        context.check_hostname = False
    context.verify_mode = wanted
    return context
