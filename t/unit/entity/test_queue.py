from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.entity import Exchange, Queue, binding
from kombu.exceptions import ContentDisallowed, NotBoundError
from kombu.message import Message
from t.unit.entity.test_exchange import arguments, exchanges, names
from t.unit.recording import RecordingChannel

bindings = st.builds(binding, exchanges, names, arguments, arguments)
queues = st.builds(
    Queue,
    names,
    st.none() | exchanges,
    names,
    bindings=st.lists(bindings, max_size=3),
    durable=st.booleans(),
    exclusive=st.booleans(),
    auto_delete=st.booleans(),
    no_ack=st.booleans(),
    alias=st.none() | names,
    no_declare=st.booleans(),
    queue_arguments=arguments,
    binding_arguments=arguments,
    consumer_arguments=arguments,
    expires=st.none() | st.floats(0, 1e6),
    message_ttl=st.none() | st.floats(0, 1e6),
    max_length=st.none() | st.integers(1),
    max_length_bytes=st.none() | st.integers(1),
    max_priority=st.none() | st.integers(1, 255),
)


class TestDescription:
    @given(queues)
    def test_is_made_again_of_its_dict_and_of_its_pickle(self, queue):
        for copy in (Queue(**queue.as_dict()), pickle.loads(pickle.dumps(queue))):
            assert copy == queue
            assert hash(copy) == hash(queue)
            assert copy.as_dict() == queue.as_dict()

    @given(queues)
    def test_plain_dict_is_read_by_from_dict(self, queue):
        options = queue.as_dict(recurse=True)
        name, has_bindings = options.pop("name"), options.pop("bindings")
        exchange = options.pop("exchange")
        if has_bindings:
            return
        copy = Queue.from_dict(name, exchange=Exchange(**exchange), **options)
        assert copy.as_dict() == queue.as_dict()

    def test_pickle_of_a_bound_queue_is_unbound(self):
        queue = Queue("q", Exchange("x"), "k", channel=RecordingChannel())
        copy = pickle.loads(pickle.dumps(queue))
        assert copy == queue
        assert not copy.is_bound
        assert not copy.exchange.is_bound

    @pytest.mark.parametrize(
        ("other", "equal"),
        [
            ({"routing_key": "k"}, False),
            ({"exchange": Exchange("x")}, False),
            ({"queue_arguments": {"a": 1}}, False),
            ({"binding_arguments": {"a": 1}}, False),
            ({"consumer_arguments": {"a": 1}}, False),
            ({"durable": False}, False),
            ({"exclusive": True}, False),
            ({"auto_delete": True}, False),
            ({"bindings": [binding(Exchange("x"), "k")]}, False),
            ({"max_length": 1}, True),
            ({"no_ack": True}, True),
            ({"expires": 1}, True),
            ({"no_declare": True}, True),
            ({"alias": "a"}, True),
        ],
    )
    def test_equality(self, other, equal):
        assert (Queue("q", **other) == Queue("q")) is equal

    def test_exclusive_implies_auto_delete(self):
        assert Queue("q", exclusive=True, auto_delete=False).auto_delete

    def test_exchange_by_name_by_bindings_and_by_default(self):
        assert Queue("q", "x").exchange == Exchange("x")
        assert Queue("q").exchange == Exchange("")
        bound = Queue("q", [binding(Exchange("x"), "k"), binding(Exchange("x"), "k")])
        assert bound.exchange is None
        assert bound.bindings == {binding(Exchange("x"), "k")}

    @pytest.mark.parametrize("wrong", [5, object()])
    def test_wrong_exchange_is_named(self, wrong):
        with pytest.raises(TypeError, match="exchange must be"):
            Queue("q", wrong)

    def test_bindings_must_be_bindings(self):
        with pytest.raises(TypeError, match="dict"):
            Queue("q", bindings=[{"exchange": "x"}])

    def test_times_must_be_numbers(self):
        with pytest.raises(ValueError, match="soon"):
            Queue("q", expires="soon")

    def test_repr(self):
        queue = Queue("q", Exchange("x", "topic"), "k")
        assert repr(queue) == "<unbound Queue q -> <unbound Exchange x(topic)> -> k>"
        assert repr(Queue("q", bindings=[binding(Exchange("x"), "k")])) == (
            "<unbound Queue q -> [x->k]>"
        )

    @pytest.mark.parametrize(
        ("options", "cached"),
        [
            ({}, True),
            ({"durable": False}, True),
            ({"auto_delete": True}, False),
            ({"expires": 5}, False),
            ({"queue_arguments": {"x-expires": 5000}}, False),
        ],
    )
    def test_what_may_go_by_itself_is_declared_each_time(self, options, cached):
        assert Queue("q", **options).can_cache_declaration is cached


class TestFromDict:
    def test_options_for_both_and_for_one(self):
        queue = Queue.from_dict(
            "q",
            exchange="x",
            exchange_type="topic",
            binding_key="b",
            routing_key="r",
            durable=False,
            exchange_durable=True,
            queue_auto_delete=True,
            delivery_mode=1,
            exchange_arguments={"c": 1},
            unknown=1,
            channel=object(),
        )
        assert queue.exchange == Exchange("x", "topic", delivery_mode=1, arguments={"c": 1})
        assert (queue.routing_key, queue.durable, queue.auto_delete) == ("b", False, True)
        assert not queue.is_bound

    def test_name_twice(self):
        with pytest.raises(TypeError):
            Queue.from_dict("q", queue="other")


class TestDeclare:
    def test_exchange_then_queue_then_binding(self):
        channel, told = RecordingChannel(), []
        queue = Queue(
            "q",
            Exchange("x"),
            "k",
            channel=channel,
            expires=1,
            queue_arguments={"a": 1},
            binding_arguments={"b": 1},
            on_declared=lambda *declared: told.append(declared),
        )
        assert queue.declare() == "q"
        assert channel.methods == ["exchange_declare", "queue_declare", "queue_bind"]
        assert channel.named("queue_declare")[0]["arguments"] == {"a": 1, "expires": 1.0}
        assert channel.named("queue_bind") == [
            {
                "queue": "q",
                "exchange": "x",
                "routing_key": "k",
                "arguments": {"b": 1},
                "nowait": False,
            }
        ]
        assert told == [("q", 5, 2)]

    def test_bindings_after_the_queue(self):
        channel = RecordingChannel()
        keys = [binding(Exchange("y"), "2"), binding(Exchange("x"), "1")]
        Queue("q", bindings=keys).declare(channel=channel)
        assert channel.methods == [
            "queue_declare",
            "exchange_declare",
            "queue_bind",
            "exchange_declare",
            "queue_bind",
        ]
        assert [each["exchange"] for each in channel.named("queue_bind")] == ["x", "y"]

    def test_default_exchange_needs_no_binding(self):
        channel = RecordingChannel()
        Queue("q", channel=channel).declare()
        assert channel.methods == ["queue_declare"]

    def test_unnamed_gets_the_brokers_name(self):
        queue = Queue("", Exchange("x"), channel=RecordingChannel())
        assert queue.declare() == queue.name == "chosen-by-broker"
        assert queue.channel.named("queue_bind")[0]["queue"] == "chosen-by-broker"

    def test_no_declare(self):
        channel = RecordingChannel()
        assert Queue("q", Exchange("x"), no_declare=True, channel=channel).declare() == "q"
        assert channel.calls == []

    def test_passive_asks_only_for_the_queue(self):
        channel = RecordingChannel()
        declared = Queue("q", Exchange("x"), channel=channel).queue_declare(passive=True)
        assert tuple(declared) == ("q", 5, 2)
        assert channel.named("queue_declare")[0]["passive"] is True

    def test_unbound(self):
        with pytest.raises(NotBoundError, match="Queue"):
            Queue("q").declare()

    def test_bound_copy_keeps_the_callback(self):
        assert Queue("q", on_declared=print)(RecordingChannel()).on_declared is print


class TestVerbs:
    def test_unbind_and_its_arguments(self):
        channel = RecordingChannel()
        Queue("q", Exchange("x"), "k", channel=channel).queue_unbind({"a": 1})
        binding(Exchange("y"), "l", {"b": 1}, {"u": 1}).unbind(Queue("q"), channel=channel)
        first, second = channel.named("queue_unbind")
        assert (first["exchange"], first["routing_key"], first["arguments"]) == ("x", "k", {"a": 1})
        assert (second["exchange"], second["arguments"]) == ("y", {"u": 1})

    @pytest.mark.parametrize(
        ("own", "given", "said"), [(True, None, True), (True, False, False), (False, None, False)]
    )
    def test_no_ack_of_consume_and_get(self, own, given, said):
        channel = RecordingChannel()
        queue = Queue("q", no_ack=own, consumer_arguments={"x-priority": 1}, channel=channel)
        queue.consume("tag", print, no_ack=given, on_cancel=repr)
        assert queue.get(no_ack=given) is None
        consumed = channel.named("basic_consume")[0]
        assert consumed == {
            "queue": "q",
            "consumer_tag": "tag",
            "callback": print,
            "no_ack": said,
            "nowait": False,
            "arguments": {"x-priority": 1},
            "on_cancel": repr,
        }
        assert channel.named("basic_get") == [{"queue": "q", "no_ack": said}]

    def test_get_decodes_only_what_is_accepted(self):
        channel = RecordingChannel()
        channel.answers["basic_get"] = lambda **_: Message(
            b"x", delivery_tag=1, content_type="application/x-python-serialize", channel=channel
        )
        message = Queue("q", channel=channel).get(accept=["json"])
        with pytest.raises(ContentDisallowed):
            message.decode()

    def test_get_raises_what_was_wrong_with_the_body(self):
        channel = RecordingChannel()
        channel.answers["basic_get"] = lambda **_: Message(
            b"no", delivery_tag=1, headers={"compression": "application/x-gzip"}, channel=channel
        )
        with pytest.raises(Exception, match="decompress"):
            Queue("q", channel=channel).get()

    def test_purge_counts(self):
        channel = RecordingChannel()
        queue = Queue("q", channel=channel)
        channel.answers["queue_purge"] = 3
        assert queue.purge() == 3
        channel.answers["queue_purge"] = None
        assert queue.purge(nowait=True) == 0

    def test_delete_and_cancel(self):
        channel = RecordingChannel()
        queue = Queue("q", channel=channel)
        queue.delete(if_unused=True, if_empty=True)
        queue.cancel("tag")
        assert channel.named("queue_delete") == [
            {"queue": "q", "if_unused": True, "if_empty": True, "nowait": False}
        ]
        assert channel.named("basic_cancel") == [{"args": ("tag",)}]
