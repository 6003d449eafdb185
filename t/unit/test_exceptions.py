"""Exceptions."""

from __future__ import annotations

import builtins
import pickle

import amqp
import pytest

from kombu import exceptions
from kombu.exceptions import BatchPublishError, HttpError, InconsistencyError, KombuError, reraise


def test_names_of_others():
    assert exceptions.TimeoutError is builtins.TimeoutError
    for name in ("ConnectionError", "ChannelError", "ResourceError"):
        assert getattr(exceptions, name) is getattr(amqp, name)
    assert issubclass(InconsistencyError, amqp.ConnectionError)


def test_batch_publish_error_says_which_failed():
    cause = OSError("full")
    error = BatchPublishError("1 of 3 messages not stored", failed={2: cause})
    assert error.failed == {2: cause}
    assert BatchPublishError("all").failed == {}
    assert isinstance(error, KombuError)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert list(again.failed) == [2]


def test_http_error():
    error = HttpError(404, "not found", "response")
    assert str(error) == "HTTP 404: not found"
    assert (error.code, error.message, error.response) == (404, "not found", "response")


def test_reraise():
    try:
        raise KeyError("first")
    except KeyError as exc:
        caught = exc
    with pytest.raises(KeyError) as failure:
        reraise(type(caught), caught, caught.__traceback__)
    assert failure.value is caught
    with pytest.raises(ValueError, match="new"):
        reraise(ValueError, ValueError("new"))
