"""No password gets out, whatever an error's text holds."""

from __future__ import annotations

import io

import pytest

from kombu.cli.console import Console


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("redis://:s3cret-pw@host/0", {}, "ResponseError: AUTH s3cret-pw refused"),
        ("redis://:p%40ss%2Fword@host/0", {}, "p@ss/word and p%40ss%2Fword"),
        ("amqp://a:first-pw@one//;amqp://a:second-pw@two//", {}, "first-pw, second-pw"),
        ("sqs://", {"sts": {"secret_access_key": "deep-s3cret"}}, "deep-s3cret"),
    ],
)
def test_secrets_are_cut_out(url: str, options: dict, said: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(out=out, err=err)
    console.secrets.learn(url, options)
    console.message(f"it failed: {said}")
    console.result({}, said)
    for text in (out.getvalue(), err.getvalue()):
        assert "**" in text
        for secret in ("s3cret", "p@ss", "p%40ss", "first-pw", "second-pw"):
            assert secret not in text


def test_a_password_of_one_letter_leaves_words_as_they_are() -> None:
    out = io.StringIO()
    console = Console(out=out, err=io.StringIO())
    console.secrets.learn("postgresql://u:p@host/db", {})
    console.result({}, "postgresql://u:p@host/db: password 'p' refused at a port")
    assert out.getvalue() == "postgresql://u:**@host/db: password '**' refused at a port\n"


def test_a_users_own_name_is_no_secret() -> None:
    out = io.StringIO()
    console = Console(out=out)
    console.secrets.learn("amqp://guest:guest@host//", {})
    console.result({}, "set_permissions guest")
    assert "guest" in out.getvalue()


def test_bodies_are_the_users_own() -> None:
    out = io.StringIO()
    console = Console(out=out)
    console.secrets.learn("redis://:word@host/0", {})
    console.payload('{"text": "a word"}')
    assert out.getvalue() == '{"text": "a word"}\n'


def test_progress_is_for_terminals() -> None:
    err = io.StringIO()
    console = Console(err=err)
    console.progress("published", 1, 2)
    assert err.getvalue() == ""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    console = Console(out=io.StringIO(), err=terminal)
    console.progress("published", 1, 2)
    console.result({}, "done")
    assert terminal.getvalue().startswith("\rpublished: 1 of 2")
    assert terminal.getvalue().endswith("\r")
