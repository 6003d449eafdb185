from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.entity import Exchange, binding, maybe_delivery_mode
from kombu.exceptions import NotBoundError
from t.unit.recording import RecordingChannel

names = st.text(max_size=8)
arguments = st.none() | st.dictionaries(names, st.integers() | names, max_size=2)
exchanges = st.builds(
    Exchange,
    names,
    st.sampled_from(["direct", "topic", "fanout", "headers"]),
    durable=st.booleans(),
    auto_delete=st.booleans(),
    passive=st.booleans(),
    no_declare=st.booleans(),
    delivery_mode=st.sampled_from([None, 1, 2, "transient", "persistent"]),
    arguments=arguments,
)


class TestDescription:
    @given(exchanges)
    def test_is_made_again_of_its_dict_and_of_its_pickle(self, exchange):
        for copy in (Exchange(**exchange.as_dict()), pickle.loads(pickle.dumps(exchange))):
            assert copy == exchange
            assert hash(copy) == hash(exchange)
            assert copy.as_dict() == exchange.as_dict()

    def test_pickles_are_found_where_5_7_looks_for_them(self):
        assert b"kombu.entity\n" in pickle.dumps(Exchange("x"), protocol=0)

    @pytest.mark.parametrize(
        "other",
        [
            {"type": "topic"},
            {"durable": False},
            {"auto_delete": True},
            {"arguments": {"a": 1}},
            {"delivery_mode": 1},
        ],
    )
    def test_differs_by_what_the_broker_compares(self, other):
        assert Exchange("x", **other) != Exchange("x")

    def test_is_no_string(self):
        assert Exchange("x") != "x"

    def test_repr(self):
        assert repr(Exchange("x", "topic")) == "<unbound Exchange x(topic)>"
        assert repr(Exchange("")) == "<unbound Exchange ''(direct)>"
        assert repr(Exchange("x")(RecordingChannel())) == "<Exchange x(direct) bound to chan:1>"

    def test_delivery_mode_by_name(self):
        assert Exchange("x", delivery_mode="transient").delivery_mode == 1
        assert maybe_delivery_mode(None) == 2

    @pytest.mark.parametrize("mode", ["lasting", "1", "", 0, 7])
    def test_a_delivery_mode_that_is_none_is_kept(self, mode):
        exchange = Exchange("x", delivery_mode=mode)
        assert exchange.delivery_mode == exchange.as_dict()["delivery_mode"] == mode

    def test_a_delivery_mode_that_is_none_is_refused_when_it_is_needed(self):
        with pytest.raises(KeyError, match="lasting"):
            Exchange("x", delivery_mode="lasting", channel=RecordingChannel()).Message(b"b")


class TestBindingToAChannel:
    def test_bound_copy_leaves_the_original_unbound(self):
        exchange, channel = Exchange("x"), RecordingChannel()
        bound = exchange(channel)
        assert bound.channel is channel
        assert not exchange.is_bound
        with pytest.raises(NotBoundError):
            exchange.declare()

    def test_revive_moves_to_the_new_channel(self):
        first, second = RecordingChannel(), RecordingChannel()
        exchange = Exchange("x")(first)
        exchange.revive(second)
        exchange.declare()
        assert first.calls == []
        assert second.methods == ["exchange_declare"]


class TestDeclare:
    def test_everything_is_said(self):
        channel = RecordingChannel()
        Exchange("x", "topic", arguments={"a": 1}, channel=channel).declare(nowait=True)
        assert channel.calls == [
            (
                "exchange_declare",
                {
                    "exchange": "x",
                    "type": "topic",
                    "durable": True,
                    "auto_delete": False,
                    "arguments": {"a": 1},
                    "nowait": True,
                    "passive": False,
                },
            )
        ]

    @pytest.mark.parametrize("name", ["", "amq.topic"])
    def test_what_the_broker_has_of_itself_is_not_declared(self, name):
        channel = RecordingChannel()
        Exchange(name, channel=channel).declare(passive=True)
        Exchange("x", no_declare=True, channel=channel).declare()
        assert channel.calls == []

    @pytest.mark.parametrize(("own", "given", "said"), [(True, None, True), (True, False, False)])
    def test_passive(self, own, given, said):
        channel = RecordingChannel()
        Exchange("x", passive=own, channel=channel).declare(passive=given)
        assert channel.calls[0][1]["passive"] is said

    def test_channel_given_to_an_unbound_one(self):
        channel = RecordingChannel()
        Exchange("x").declare(channel=channel)
        assert channel.methods == ["exchange_declare"]

    def test_auto_delete_must_be_declared_each_time(self):
        assert Exchange("x").can_cache_declaration
        assert not Exchange("x", auto_delete=True).can_cache_declaration


class TestVerbs:
    def test_exchange_to_exchange(self):
        channel = RecordingChannel()
        exchange = Exchange("to", channel=channel)
        exchange.bind_to(Exchange("from"), "key", arguments={"a": 1})
        exchange.unbind_from("from", "key")
        bound, unbound = channel.calls
        assert bound[0] == "exchange_bind"
        assert unbound[0] == "exchange_unbind"
        for _, said in (bound, unbound):
            assert (said["destination"], said["source"], said["routing_key"]) == (
                "to",
                "from",
                "key",
            )

    def test_delete(self):
        channel = RecordingChannel()
        Exchange("x", channel=channel).delete(if_unused=True)
        assert channel.named("exchange_delete") == [
            {"exchange": "x", "if_unused": True, "nowait": False}
        ]

    def test_message_takes_the_exchanges_delivery_mode_and_leaves_the_properties(self):
        properties = {"type": "t"}
        exchange = Exchange("x", delivery_mode=1, channel=RecordingChannel())
        message = exchange.Message("body", properties=properties, headers={"h": 1})
        assert message["properties"] == {"type": "t", "delivery_mode": 1}
        assert message["content_encoding"] == "utf-8"
        assert properties == {"type": "t"}
        assert exchange.Message(b"b", "persistent")["properties"] == {"delivery_mode": 2}

    def test_publish_elsewhere(self):
        channel = RecordingChannel()
        Exchange("x", channel=channel).publish("m", "key", mandatory=True, exchange=Exchange("y"))
        said = channel.named("basic_publish")[0]
        assert (said["exchange"], said["routing_key"], said["mandatory"]) == ("y", "key", True)

    def test_binding(self):
        exchange = Exchange("x")
        assert exchange.binding("key", {"a": 1}) == binding(exchange, "key", {"a": 1})
