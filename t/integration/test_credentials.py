"""No transport shows a password: in its repr, its address, its errors, its log."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES

SECRET = "pass-w0rd-of-nobody"

#: Where a URL of the usual form is not what the transport takes.
URLS = {
    "azurestoragequeues": "azurestoragequeues://{secret}@http://127.0.0.1:1/account",
    "azureservicebus": "azureservicebus://policy:{secret}@127.0.0.1",
    "filesystem": "filesystem://user:{secret}@localhost",
}

#: Its URL names a project and holds no password.
WITHOUT = {"gcpubsub"}


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://user:{secret}@half@host/name",
        "mongodb://user:{secret}/half@host/name",
        "mongodb://host/name?tlsCertificateKeyFilePassword={secret}&w=1",
        "mongodb://host/name?authMechanismProperties=AWS_SESSION_TOKEN:{secret}",
        "sqla+postgresql://host/name?user=x&password={secret}",
        "postgresql://host/name?sslpassword={secret}",
    ],
)
def test_nor_where_it_should_not_have_been_written(url: str) -> None:
    connection = Connection(url.format(secret=SECRET))
    assert SECRET in connection.as_uri(include_password=True)
    assert SECRET not in connection.as_uri() + repr(connection)


@pytest.mark.parametrize("alias", sorted(set(TRANSPORT_ALIASES) - WITHOUT))
def test_a_password_is_shown_nowhere(
    alias: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    form = URLS.get(alias, alias + "://user:{secret}@127.0.0.1:1/name")
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG, logger="kombu"):
        try:
            connection = Connection(form.format(secret=SECRET), connect_timeout=1)
            shown += [repr(connection), str(connection), connection.as_uri()]
            with connection:
                shown += [repr(connection.transport), str(connection.info())]
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
                shown.append(repr(connection.default_channel))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is shown to people
            shown += traceback.format_exception(exc)
    shown += [record.getMessage() for record in caplog.records]
    assert not [text for text in shown if SECRET in text]
