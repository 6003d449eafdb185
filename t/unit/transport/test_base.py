from __future__ import annotations

import errno
from typing import Any

import pytest
from amqp.exceptions import (
    ChannelError,
    ConnectionError,
    RecoverableChannelError,
    RecoverableConnectionError,
)
from hypothesis import given
from hypothesis import strategies as st

from kombu.exceptions import BatchPublishError
from kombu.transport.base import (
    Implements,
    Publish,
    StdChannel,
    Transport,
    default_transport_capabilities,
    to_rabbitmq_queue_arguments,
)
from kombu.transport.errors import ErrorRow, ErrorTable
from kombu.transport.features import Features


class Lost(Exception):
    pass


class Hopeless(Exception):
    pass


class Refused(Exception):
    pass


class Driver(Transport):
    features = Features(exchange_types=frozenset({"direct"}), event_loop=True, heartbeats=True)
    errors = ErrorTable(
        [
            ErrorRow(Lost, "connection"),
            ErrorRow(Hopeless, "connection", recoverable=False),
            ErrorRow(Refused, "channel"),
        ]
    )


class TestDerived:
    def test_implements(self) -> None:
        assert Driver.implements == {
            "asynchronous": True,
            "batch_publish": False,
            "exchange_type": frozenset({"direct"}),
            "heartbeats": True,
        }
        assert Driver(None).supports_ev
        assert Driver(None).supports_heartbeats
        assert not Transport(None).supports_ev

    def test_implements_set_by_a_driver_stays(self) -> None:
        class Own(Driver):
            implements = Driver.implements.extend(asynchronous=False)

        assert Own.implements.asynchronous is False
        assert Driver.implements.asynchronous is True

    def test_errors(self) -> None:
        assert Driver.connection_errors == (ConnectionError, Lost, Hopeless)
        assert Driver.channel_errors == (ChannelError, Refused)
        assert Driver.recoverable_connection_errors == (RecoverableConnectionError, Lost)
        assert Refused in Driver(None).recoverable_channel_errors
        assert Transport.connection_errors == (ConnectionError,)

    def test_tuples_of_a_third_party_win_and_count_as_recoverable(self) -> None:
        class Theirs(Transport):
            connection_errors = (ConnectionError, Lost)

        assert Theirs.recoverable_connection_errors == (RecoverableConnectionError, Lost)

        class Both(Theirs):
            channel_errors = (ChannelError, Refused)

        assert Both.recoverable_connection_errors == (RecoverableConnectionError, Lost, Refused)
        assert Both.recoverable_channel_errors == (RecoverableChannelError,)

        class Explicit(Theirs):
            recoverable_connection_errors = (Hopeless,)

        assert Explicit(None).recoverable_connection_errors == (Hopeless,)

    def test_tuples_set_on_the_instance(self) -> None:
        transport = Driver(None)
        transport.connection_errors = (KeyError,)
        assert transport.recoverable_connection_errors[-1] is KeyError
        assert KeyError not in Driver.recoverable_connection_errors


class TestImplements:
    def test_attributes(self) -> None:
        implements = Implements(asynchronous=True)
        implements.more = 3
        assert (implements.asynchronous, implements["more"]) == (True, 3)
        with pytest.raises(AttributeError):
            _ = implements.missing

    def test_extend_copies(self) -> None:
        extended = default_transport_capabilities.extend(heartbeats=True)
        assert extended.heartbeats
        assert not default_transport_capabilities.heartbeats


class TestQueueArguments:
    @pytest.mark.parametrize(
        ("arguments", "options", "expected"),
        [
            ({}, {}, {}),
            ({}, {"expires": 30}, {"x-expires": 30000}),
            ({"x-expires": 1}, {"expires": 2}, {"x-expires": 2000}),
            ({"z": 1}, {"expires": None, "max_length": None}, {"z": 1}),
            (
                {},
                {"message_ttl": 1.9999, "max_length": "5", "max_priority": 2.9},
                {"x-message-ttl": 1999, "x-max-length": 5, "x-max-priority": 2},
            ),
            (None, {"max_length_bytes": 10}, {"x-max-length-bytes": 10}),
        ],
    )
    def test_options_become_arguments(self, arguments: Any, options: Any, expected: Any) -> None:
        assert to_rabbitmq_queue_arguments(arguments, **options) == expected

    def test_unknown_option(self) -> None:
        with pytest.raises(KeyError):
            to_rabbitmq_queue_arguments({}, expiry=1)

    @given(st.dictionaries(st.text(), st.integers()), st.integers(0, 10**6))
    def test_arguments_are_not_changed(self, arguments: dict[str, int], seconds: int) -> None:
        before = dict(arguments)
        result = to_rabbitmq_queue_arguments(arguments, expires=seconds)
        assert arguments == before
        assert result == {**arguments, "x-expires": seconds * 1000}


class Picky(StdChannel):
    def __init__(self) -> None:
        self.connection = Driver(None)
        self.published: list[tuple[Any, ...]] = []

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **options: Any) -> None:
        if message == "bad":
            raise Refused(message)
        if message == "end":
            raise Lost(message)
        self.published.append((message, exchange, routing_key, options))


class TestPublishMany:
    def test_in_order_with_options(self) -> None:
        channel = Picky()
        channel.basic_publish_many(
            [Publish("a", "x", "k", {"mandatory": True}), Publish("b", "", "q", {})], timeout=3
        )
        assert channel.published == [
            ("a", "x", "k", {"mandatory": True, "timeout": 3}),
            ("b", "", "q", {"timeout": 3}),
        ]

    def test_refused_ones_are_named_and_the_others_published(self) -> None:
        channel = Picky()
        batch = [Publish(text, "", "q", {}) for text in ("a", "bad", "b", "bad")]
        with pytest.raises(BatchPublishError) as caught:
            channel.basic_publish_many(batch)
        assert sorted(caught.value.failed) == [1, 3]
        assert isinstance(caught.value.failed[1], Refused)
        assert [message for message, *_ in channel.published] == ["a", "b"]

    def test_a_lost_connection_is_raised_as_it_is(self) -> None:
        with pytest.raises(Lost):
            Picky().basic_publish_many([Publish("end", "", "q", {}), Publish("a", "", "q", {})])


class TestReader:
    class Link:
        connected = True

        def __init__(self, *events: BaseException | None) -> None:
            self.events = list(events)

        def drain_events(self, timeout: float) -> None:
            event = self.events.pop(0)
            if event is not None:
                raise event

    class Loop:
        def __init__(self) -> None:
            self.soon: list[Any] = []

        def call_soon(self, callback: Any, *args: Any) -> None:
            self.soon.append((callback, args))

    def test_asks_to_be_called_again_until_nothing_is_left(self) -> None:
        transport, loop = Transport(None), self.Loop()
        link = self.Link(None, TimeoutError())
        transport.on_readable(link, loop)
        ((callback, args),) = loop.soon
        callback(*args)
        assert len(loop.soon) == 1
        assert link.events == []

    def test_would_block_is_nothing_and_a_reset_is_an_error(self) -> None:
        transport = Transport(None)
        link = self.Link(OSError(errno.EAGAIN, "later"), OSError(errno.ECONNRESET, "gone"))
        transport.on_readable(link, self.Loop())
        with pytest.raises(OSError, match="gone"):
            transport.on_readable(link, self.Loop())

    def test_disconnected(self) -> None:
        link = self.Link()
        link.connected = False
        with pytest.raises(RecoverableConnectionError):
            Transport(None).on_readable(link, self.Loop())


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("establish_connection", ()),
        ("close_connection", (1,)),
        ("create_channel", (1,)),
        ("close_channel", (1,)),
        ("drain_events", (1,)),
    ],
)
def test_what_a_driver_lacks_is_named(method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(NotImplementedError, match=rf"Driver does not implement {method}"):
        getattr(Driver(None), method)(*arguments)
