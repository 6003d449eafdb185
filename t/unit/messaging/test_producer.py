from __future__ import annotations

import pickle
import threading

import pytest

from kombu.entity import Exchange, Queue
from kombu.exceptions import BatchPublishError, EncodeError, OperationalError
from kombu.messaging import Producer
from kombu.messaging.deadline import Deadline
from t.unit.recording import RecordingChannel


@pytest.fixture
def channel():
    return RecordingChannel()


@pytest.fixture
def producer(channel):
    return Producer(channel, Exchange("x"), "key")


def published(channel, index=-1):
    return channel.named("basic_publish")[index]


class FailingConnection:
    """A connection that can only be retried upon: counts what ensure was asked."""

    default_channel = None
    connected = True

    def __init__(self, channel):
        self.default_channel = channel
        self.asked = []

    recoverable_connection_errors = connection_errors = (ConnectionResetError,)
    channel_errors = (LookupError,)

    def ensure(self, obj, fun, **policy):
        self.asked.append(policy)

        def ensured():
            for _ in range(policy.get("max_retries", 3)):
                try:
                    return fun()
                except ConnectionResetError:
                    obj.revive(self.default_channel)
            raise OperationalError("retries ran out")

        return ensured


class TestPublish:
    def test_everything_is_said(self, channel, producer):
        producer.publish(
            {"a": 1},
            "other",
            1,
            True,
            True,
            5,
            headers={"h": 1},
            exchange="y",
            expiration=1.5,
            correlation_id="c",
            timeout=3,
            confirm_timeout=4,
        )
        said = published(channel)
        message = said.pop("args")[0]
        assert 2.9 < said.pop("timeout") <= 3
        assert said == {
            "exchange": "y",
            "routing_key": "other",
            "mandatory": True,
            "immediate": True,
            "confirm_timeout": 4,
        }
        assert message == {
            "body": '{"a": 1}',
            "priority": 5,
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "headers": {"h": 1},
            "properties": {"correlation_id": "c", "delivery_mode": 1, "expiration": "1500"},
        }

    def test_defaults_are_the_producers(self, channel, producer):
        producer.publish("text")
        said = published(channel)
        assert (said["exchange"], said["routing_key"]) == ("x", "key")
        assert said["timeout"] is None
        message = said["args"][0]
        assert (message["content_type"], message["properties"]) == (
            "text/plain",
            {"delivery_mode": 2},
        )

    def test_empty_routing_key_is_one(self, channel, producer):
        producer.publish("text", routing_key="")
        assert published(channel)["routing_key"] == ""

    @pytest.mark.parametrize(
        ("exchange", "mode", "written"),
        [
            (Exchange("y", delivery_mode=1), None, 1),
            (Exchange("y", delivery_mode=1), "persistent", 2),
            ("y", None, 2),
            (None, "transient", 1),
        ],
    )
    def test_delivery_mode(self, channel, producer, exchange, mode, written):
        producer.publish("text", exchange=exchange, delivery_mode=mode)
        assert published(channel)["args"][0]["properties"]["delivery_mode"] == written

    def test_serialized_already(self, channel, producer):
        producer.publish("é", content_type="text/x", content_encoding="latin-1")
        producer.publish(b"\0", content_type="image/x")
        text, image = (each["args"][0] for each in channel.named("basic_publish"))
        assert (text["body"], text["content_encoding"]) == (b"\xe9", "latin-1")
        assert (image["body"], image["content_encoding"]) == (b"\0", "binary")

    def test_compression_leaves_the_callers_headers(self, channel, producer):
        headers = {"h": 1}
        producer.publish("text", headers=headers, compression="zlib")
        written = published(channel)["args"][0]["headers"]
        assert written == {"h": 1, "compression": "application/x-gzip"}
        assert headers == {"h": 1}

    def test_delay_is_in_milliseconds(self, channel, producer):
        producer.publish("text", delay=1.5)
        assert published(channel)["args"][0]["headers"] == {"x-delay": 1500}

    @pytest.mark.parametrize("option", ["expiration", "delay"])
    @pytest.mark.parametrize("wrong", ["soon", -1, float("inf"), float("nan")])
    def test_times_must_be_times(self, channel, producer, option, wrong):
        with pytest.raises(ValueError, match=option):
            producer.publish("text", **{option: wrong})
        assert channel.calls == []

    def test_what_cannot_be_serialized_touches_nothing(self, channel, producer):
        with pytest.raises(EncodeError):
            producer.publish(object())
        assert channel.calls == []

    def test_reply_to_an_unnamed_queue(self, channel, producer):
        queue = Queue("")
        producer.publish("text", reply_to=queue, declare=[queue])
        message = published(channel)["args"][0]
        assert message["properties"]["reply_to"] == queue.name == "chosen-by-broker"


class TestDeclaring:
    def test_once_per_connection(self, channel, producer):
        queue = Queue("q", producer.exchange)
        for _ in range(3):
            producer.publish("text", declare=[queue])
        assert channel.methods.count("queue_declare") == 1
        # once for the queue, which doesn't look at what is declared, and once for itself
        assert channel.methods.count("exchange_declare") == 2

    def test_again_after_the_connection_forgot(self, channel, producer):
        producer.publish("text")
        channel.connection.client.declared_entities.clear()
        producer.publish("text")
        assert channel.methods.count("exchange_declare") == 2

    def test_another_exchange_given_later(self, channel, producer):
        producer.publish("text")
        producer.exchange = Exchange("y", channel=channel)
        producer.publish("text")
        assert [each["exchange"] for each in channel.named("exchange_declare")] == ["x", "y"]

    @pytest.mark.parametrize(
        "other",
        [
            {"max_length": 3},
            {"message_ttl": 3},
            {"routing_key": "k"},
            {"durable": False},
            {"exchange": Exchange("y")},
            {"exchange": Exchange("y", "topic")},
            {"queue_arguments": {"x-queue-type": "quorum"}},
            {"binding_arguments": {"x-match": "all"}},
            {"bindings": [Exchange("y").binding("k")]},
            {"bindings": [Exchange("y").binding("l")]},
        ],
        ids=str,
    )
    def test_same_name_other_demands_is_another(self, channel, producer, other):
        for options in ({}, other, {}, other):
            producer.maybe_declare(Queue("q", **options))
        assert channel.methods.count("queue_declare") == 2

    def test_auto_declare_off(self, channel):
        Producer(channel, Exchange("x"), auto_declare=False).publish("text")
        assert channel.methods == ["basic_publish"]

    def test_callers_list_stays_as_it_is(self, producer):
        entities = [Queue("q")]
        producer.publish("text", declare=entities)
        assert entities == [Queue("q")]


class TestRetry:
    def test_serialized_once_published_until_it_works(self, channel):
        connection = FailingConnection(channel)
        producer = Producer(connection)
        serialized, tries = [], []

        class Body:
            def __json__(self):
                serialized.append(self)
                return "body"

        def fail_twice(*_args, **_kwargs):
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionResetError

        channel.answers["basic_publish"] = fail_twice
        policy = {"max_retries": 5}
        producer.publish(Body(), retry=True, retry_policy=policy)
        assert (len(tries), len(serialized)) == (3, 1)
        assert connection.asked == [{"max_retries": 5}]
        assert policy == {"max_retries": 5}

    def test_without_retry_the_error_is_the_transports(self, channel):
        channel.answers["basic_publish"] = ConnectionResetError("gone")
        with pytest.raises(ConnectionResetError):
            Producer(FailingConnection(channel)).publish("text")

    def test_timeout_is_for_all_tries(self, channel):
        connection = FailingConnection(channel)
        Producer(connection).publish("text", retry=True, timeout=7)
        assert 6.9 < connection.asked[0]["timeout"] <= 7

    def test_nothing_is_published_after_the_deadline(self, channel):
        with pytest.raises(OperationalError, match="0 seconds"):
            Producer(channel).publish("text", timeout=0)
        assert channel.calls == []


class TestChannel:
    def test_of_a_connection_is_opened_at_the_first_publish(self, channel):
        opened = []

        class Connection:
            connected = True

            @property
            def default_channel(self):
                opened.append(1)
                return channel

        connection = Connection()
        producer = Producer(connection, "x", on_return=print)
        assert repr(producer) and producer.connection is connection
        assert opened == []
        producer.publish("text")
        assert opened == [1]
        assert channel.events["basic_return"] == {print}

    def test_revive(self, channel, producer):
        other = RecordingChannel()
        producer.on_return = print
        producer.revive(other)
        producer.publish("text")
        assert channel.calls == []
        assert other.methods == ["exchange_declare", "basic_publish"]
        assert other.events["basic_return"] == {print}
        assert producer.connection is other.connection.client

    def test_pickle_comes_without_a_channel(self, channel):
        producer = Producer(channel, Exchange("x"), "k", "yaml", False, "zlib")
        copy = pickle.loads(pickle.dumps(producer))
        for name in ("exchange", "routing_key", "serializer", "auto_declare", "compression"):
            assert getattr(copy, name) == getattr(producer, name)
        assert copy.channel is None
        copy.revive(channel)
        copy.publish("text")
        assert channel.methods == ["basic_publish"]

    def test_leaving_the_context_releases(self, channel):
        released = []

        class Pooled(Producer):
            def release(self):
                released.append(self)

        with Pooled(channel) as producer:
            pass
        assert released == [producer]


class BatchChannel(RecordingChannel):
    """A channel that publishes batches; refuses bodies that say so, and may lose its link."""

    supports_batch_publish = True

    def __init__(self):
        super().__init__()
        self.windows = []
        self.lose = 0

    def basic_publish_many(self, publishes, timeout=None):
        bodies = [publish.message["body"].decode() for publish in publishes]
        self.windows.append(bodies)
        if self.lose:
            self.lose -= 1
            raise ConnectionResetError("lost")
        failed = {index: LookupError(body) for index, body in enumerate(bodies) if "refuse" in body}
        lost = {
            index: ConnectionResetError(body)
            for index, body in enumerate(bodies)
            if "drop" in body and bodies not in self.windows[:-1]
        }
        if failed or lost:
            raise BatchPublishError("some", failed={**failed, **lost})


class TestBatch:
    @pytest.fixture
    def channel(self):
        return BatchChannel()

    def test_windows(self, channel, producer):
        with producer.batch(max_size=2) as batch:
            for body in "abc":
                assert producer.publish(body) is None
            assert channel.windows == [["a", "b"]]
            batch.flush()
            producer.publish("d")
        assert channel.windows == [["a", "b"], ["c"], ["d"]]
        producer.publish("e")
        assert channel.methods[-1] == "basic_publish"

    def test_failed_ones_by_their_index_in_the_whole_batch(self, channel, producer):
        with pytest.raises(BatchPublishError) as raised, producer.batch(max_size=2):
            for body in ("a", "b", "c", "refuse 3"):
                producer.publish(body)
        assert list(raised.value.failed) == [3]
        assert isinstance(raised.value.failed[3], LookupError)
        assert raised.value.__cause__ is raised.value.failed[3]

    def test_lost_connection_leaves_the_whole_window_unconfirmed(self, channel, producer):
        channel.lose = 1
        with pytest.raises(BatchPublishError) as raised, producer.batch(max_size=2):
            producer.publish("a")
            producer.publish("b")
        assert list(raised.value.failed) == [0, 1]

    def test_retry_sends_only_what_was_lost(self, channel):
        producer = Producer(FailingConnection(channel))
        with pytest.raises(BatchPublishError) as raised, producer.batch(max_size=3):
            for body in ("a", "drop", "refuse"):
                producer.publish(body, retry=True)
        assert channel.windows == [["a", "drop", "refuse"], ["drop"], ["drop"]]
        assert list(raised.value.failed) == [2]

    def test_retries_run_out(self, channel):
        channel.lose = 9
        producer = Producer(FailingConnection(channel))
        with pytest.raises(BatchPublishError) as raised, producer.batch():
            producer.publish("a", retry=True, retry_policy={"max_retries": 2})
        assert isinstance(raised.value.failed[0], OperationalError)
        assert len(channel.windows) == 2

    def test_exception_drops_what_was_not_sent_and_says_so(self, channel, producer, caplog):
        with pytest.raises(KeyError), producer.batch(max_size=2):
            for body in "abc":
                producer.publish(body)
            raise KeyError
        assert channel.windows == [["a", "b"]]
        assert "1 messages were not sent" in caplog.text
        assert producer.pending_batch is None

    def test_nested_joins_the_outer_and_drops_only_its_own(self, channel, producer):
        with producer.batch(max_size=9):
            producer.publish("a")
            with pytest.raises(KeyError), producer.batch(max_size=1):
                producer.publish("b")
                raise KeyError
            with producer.batch(max_size=1):
                producer.publish("c")
            assert channel.windows == []
        assert channel.windows == [["a", "c"]]

    def test_another_thread_is_outside(self, channel, producer):
        with producer.batch():
            producer.publish("a")
            thread = threading.Thread(target=producer.publish, args=("b",))
            thread.start()
            thread.join(10)
            assert channel.named("basic_publish")[0]["args"][0]["body"] == b"b"
        assert channel.windows == [["a"]]

    def test_timeout_is_the_shortest_given(self, channel, producer):
        limits = []
        channel.basic_publish_many = lambda publishes, timeout: limits.append(timeout)
        with producer.batch():
            producer.publish("a", timeout=9)
            producer.publish("b", timeout=3)
            producer.publish("c")
        assert 2.9 < limits[0] <= 3

    def test_options_reach_the_channel(self, channel, producer):
        sent = []
        channel.basic_publish_many = lambda publishes, timeout: sent.extend(publishes)
        with producer.batch():
            producer.publish("a", "k", mandatory=True, exchange="y", confirm_timeout=2)
        assert (sent[0].exchange, sent[0].routing_key) == ("y", "k")
        assert sent[0].options == {"mandatory": True, "immediate": False, "confirm_timeout": 2}

    @pytest.mark.parametrize("size", [0, -1, None, 1.5])
    def test_size(self, producer, size):
        with pytest.raises(ValueError, match="max_size"):
            producer.batch(max_size=size)

    def test_states(self, producer):
        batch = producer.batch()
        with pytest.raises(RuntimeError, match="not active"):
            batch.flush()
        with batch:
            pass
        with pytest.raises(RuntimeError, match="re-entered"), batch:
            pass
        with pytest.raises(RuntimeError, match="not active"):
            batch.flush()

    def test_transport_without_batches_publishes_at_once(self):
        channel = RecordingChannel()
        producer = Producer(channel)
        with producer.batch() as batch:
            producer.publish("a")
            assert channel.methods == ["basic_publish"]
            batch.flush()


class TestDeadline:
    @pytest.mark.parametrize(
        ("seconds", "within", "passes"), [(None, 99, False), (5, 4, False), (5, 6, True)]
    )
    def test_passes_within(self, seconds, within, passes):
        assert Deadline(seconds).passes_within(within) is passes

    def test_left(self):
        assert Deadline(None).left() is None
        assert Deadline(-1).left() == 0
        assert Deadline(-1).passed
