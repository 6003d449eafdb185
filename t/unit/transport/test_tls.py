"""What ``Connection(ssl=...)`` comes to."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from kombu.transport.tls import tls_context


@pytest.mark.parametrize("nothing", [None, False, {}])
def test_no_tls(nothing: Any) -> None:
    assert tls_context(nothing) is None


def test_certificates_are_checked_unless_told_otherwise() -> None:
    context = tls_context(True)
    assert context is not None and context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("spelling", [ssl.CERT_NONE, "none", "CERT_NONE", "cert_none"])
def test_any_certificate(spelling: Any) -> None:
    context = tls_context({"cert_reqs": spelling})
    assert context is not None and not context.check_hostname
    assert context.verify_mode is ssl.CERT_NONE


def test_a_context_is_taken_as_it_is() -> None:
    context = ssl.create_default_context()
    assert tls_context(context) is context


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"ca_cert": "misspelt"}, "not ca_cert"), ({"cert_reqs": "sometimes"}, "cert_reqs")],
)
def test_what_is_misspelt_is_named(settings: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        tls_context(settings)
