from __future__ import annotations

import pytest

from kombu.entity import Exchange, Queue
from kombu.exceptions import ContentDisallowed, DecodeError, SerializerNotInstalled
from kombu.message import Message
from kombu.messaging import Consumer
from t.unit.recording import RecordingChannel


@pytest.fixture
def channel():
    return RecordingChannel()


def deliver(channel, body=b"{}", content_type="application/json", index=-1, **kwargs):
    message = Message(
        body,
        delivery_tag=1,
        content_type=content_type,
        content_encoding="utf-8",
        channel=channel,
        **kwargs,
    )
    channel.named("basic_consume")[index]["callback"](message)
    return message


class TestQueues:
    def test_declared_and_limited_when_made(self, channel):
        Consumer(channel, [Queue("a", Exchange("x")), Queue("b")], prefetch_count=7)
        assert channel.methods == [
            "exchange_declare",
            "queue_declare",
            "queue_bind",
            "queue_declare",
            "basic_qos",
        ]
        assert channel.named("basic_qos") == [{"args": (0, 7, False)}]

    def test_a_queue_alone_and_none(self, channel):
        assert Consumer(channel, Queue("a")).queues == [Queue("a")]
        assert Consumer(channel).queues == []

    def test_originals_stay_unbound(self, channel):
        queue = Queue("a")
        consumer = Consumer(channel, [queue])
        assert not queue.is_bound
        assert consumer.queues[0].channel is channel

    def test_unnamed_queues_are_known_by_the_brokers_names(self, channel):
        names = iter(["first", "second"])
        declare = channel.queue_declare
        channel.queue_declare = lambda queue, **kwargs: declare(next(names), **kwargs)
        consumer = Consumer(channel, [Queue(""), Queue("")])
        consumer.consume()
        assert [queue.name for queue in consumer.queues] == ["first", "second"]
        assert consumer.consuming_from("first")
        assert consumer.consuming_from("second")

    def test_without_a_channel_until_revived(self, channel):
        consumer = Consumer(None, [Queue("a")])
        consumer.revive(channel)
        consumer.consume()
        assert channel.methods == ["queue_declare", "basic_consume"]

    def test_auto_declare_off(self, channel):
        consumer = Consumer(channel, [Queue("a")], auto_declare=False)
        consumer.add_queue(Queue("b"))
        assert channel.calls == []
        consumer.declare()
        assert channel.methods == ["queue_declare"] * 2

    def test_accept_must_be_known(self, channel):
        with pytest.raises(SerializerNotInstalled):
            Consumer(channel, Queue("a"), accept=["nonsense"])


class TestConsuming:
    def test_only_the_last_waits_for_the_answer(self, channel):
        Consumer(channel, [Queue(name) for name in "abc"]).consume()
        assert [each["nowait"] for each in channel.named("basic_consume")] == [True, True, False]

    def test_tags_are_numbered_and_told_apart(self, channel):
        prefixed = Consumer(channel, [Queue("a"), Queue("b")], tag_prefix="w-")
        plain = Consumer(channel, [Queue("a")])
        prefixed.consume()
        plain.consume()
        tags = [each["consumer_tag"] for each in channel.named("basic_consume")]
        assert len(set(tags)) == 3
        assert [tag.rstrip("0123456789") for tag in tags] == ["w-", "w-", "None"]

    def test_again_takes_only_what_is_new(self, channel):
        consumer = Consumer(channel, [Queue("a")])
        consumer.consume()
        consumer.add_queue(Queue("b"))
        consumer.consume()
        consumer.consume()
        assert [each["queue"] for each in channel.named("basic_consume")] == ["a", "b"]

    @pytest.mark.parametrize(
        ("consumer", "call", "said"),
        [
            (None, None, [False, True]),
            (True, None, [True, True]),
            (False, None, [False, False]),
            (True, False, [False, False]),
            (None, True, [True, True]),
        ],
    )
    def test_no_ack(self, channel, consumer, call, said):
        queues = [Queue("a"), Queue("b", no_ack=True)]
        Consumer(channel, queues, no_ack=consumer).consume(no_ack=call)
        assert [each["no_ack"] for each in channel.named("basic_consume")] == said

    def test_refused_consumer_is_not_consuming(self, channel):
        consumer = Consumer(channel, [Queue("a")])
        channel.answers["basic_consume"] = LookupError("refused")
        with pytest.raises(LookupError):
            consumer.consume()
        assert not consumer.consuming_from("a")

    def test_cancel_and_begin_again(self, channel):
        consumer = Consumer(channel, [Queue("a")])
        consumer.consume()
        consumer.cancel()
        consumer.cancel()
        assert channel.methods.count("basic_cancel") == 1
        assert not consumer.consuming_from("a")
        consumer.consume()
        assert consumer.consuming_from(Queue("a"))

    def test_cancel_by_queue_forgets_it(self, channel):
        consumer = Consumer(channel, [Queue("a"), Queue("b")])
        consumer.consume()
        tag = channel.named("basic_consume")[0]["consumer_tag"]
        consumer.cancel_by_queue(Queue("a"))
        consumer.cancel_by_queue("a")
        consumer.cancel_by_queue("unknown")
        assert channel.named("basic_cancel") == [{"args": (tag,)}]
        assert consumer.queues == [Queue("b")]

    def test_revive_on_another_channel(self, channel):
        consumer = Consumer(channel, [Queue("a")], prefetch_count=3)
        consumer.consume()
        other = RecordingChannel()
        consumer.revive(other)
        assert other.methods == ["queue_declare", "basic_qos"]
        assert not consumer.consuming_from("a")
        consumer.consume()
        assert other.named("basic_consume")[0]["queue"] == "a"

    @pytest.mark.parametrize(
        ("error", "cancelled"),
        [(ConnectionResetError, 0), (TimeoutError, 1), (KeyError, 1)],
    )
    def test_context_cancels_while_there_is_somebody_to_tell(self, channel, error, cancelled):
        channel.connection.client.connection_errors = (OSError,)
        consumer = Consumer(channel, [Queue("a")])
        with pytest.raises(error), consumer:
            raise error
        assert channel.methods.count("basic_cancel") == cancelled
        assert not consumer.consuming_from("a")


class TestVerbs:
    def test_qos_recover_flow(self, channel):
        consumer = Consumer(channel, [])
        consumer.qos(prefetch_count=3, apply_global=True)
        consumer.recover(requeue=True)
        consumer.flow(False)
        assert channel.calls == [
            ("basic_qos", {"args": (0, 3, True)}),
            ("basic_recover", {"requeue": True}),
            ("flow", {"args": (False,)}),
        ]

    def test_purge_adds_up(self, channel):
        channel.answers["queue_purge"] = 2
        assert Consumer(channel, [Queue("a"), Queue("b")]).purge() == 4


class TestReceiving:
    def consumer(self, channel, **options):
        consumer = Consumer(channel, [Queue("a")], **options)
        consumer.consume()
        return consumer

    def test_callbacks_in_order(self, channel):
        got = []
        consumer = self.consumer(channel, callbacks=[lambda body, message: got.append((1, body))])
        consumer.register_callback(lambda body, message: got.append((2, message)))
        message = deliver(channel, b'{"a": 1}')
        assert got == [(1, {"a": 1}), (2, message)]

    def test_no_callbacks(self, channel):
        self.consumer(channel)
        with pytest.raises(NotImplementedError):
            deliver(channel)

    def test_registering_does_not_touch_another_consumer(self, channel):
        Consumer(channel).register_callback(print)
        assert Consumer(channel).callbacks == []

    def test_on_message_gets_it_undecoded(self, channel):
        got = []
        self.consumer(channel, on_message=got.append, callbacks=[print])
        message = deliver(channel, b"not json")
        assert got == [message]

    def test_not_accepted(self, channel):
        self.consumer(channel, callbacks=[print], accept=["json"])
        with pytest.raises(ContentDisallowed):
            deliver(channel, content_type="application/x-python-serialize")

    def test_undecodable_raises_or_goes_to_the_handler(self, channel):
        self.consumer(channel, callbacks=[print])
        with pytest.raises(DecodeError):
            deliver(channel, b"not json")
        got = []
        self.consumer(
            channel, callbacks=[print], on_decode_error=lambda message, exc: got.append(exc)
        )
        deliver(channel, b"not json")
        assert isinstance(got[0], DecodeError)

    @pytest.mark.parametrize("with_handler", [True, False])
    def test_undecompressible(self, channel, with_handler):
        got = []
        handler = (lambda message, exc: got.append(exc)) if with_handler else None
        self.consumer(channel, on_message=print, on_decode_error=handler)
        headers = {"compression": "application/x-gzip"}
        if with_handler:
            deliver(channel, b"no", headers=headers)
            assert isinstance(got[0], Exception)
        else:
            with pytest.raises(Exception, match="decompress"):
                deliver(channel, b"no", headers=headers)

    def test_error_of_a_callback_is_no_decode_error(self, channel):
        got = []

        def fail(body, message):
            raise ZeroDivisionError

        self.consumer(
            channel, callbacks=[fail], on_decode_error=lambda message, exc: got.append(exc)
        )
        with pytest.raises(ZeroDivisionError):
            deliver(channel)
        assert got == []
