from __future__ import annotations

import pytest

from kombu.entity import Exchange, Queue
from kombu.matcher import MatcherNotInstalled
from kombu.pidbox import Mailbox
from t.unit.recording import RecordingChannel


class Headers:
    def __init__(self, **headers):
        self.headers = headers


@pytest.fixture
def channel():
    return RecordingChannel()


@pytest.fixture
def mailbox(channel):
    return Mailbox("ns", "fanout")


@pytest.fixture
def node(mailbox, channel):
    node = mailbox.Node("host1", state="state", channel=channel)

    @node.handler
    def ping(state, **arguments):
        return {"ok": "pong", "state": state, **arguments}

    @node.handler
    def fail(state):
        raise KeyError("k")

    @node.handler
    def leave(state):
        raise SystemExit(3)

    return node


class TestNames:
    @pytest.mark.parametrize("type", ["direct", "fanout"])
    def test_exchanges(self, type):
        mailbox = Mailbox("ns", type)
        assert mailbox.exchange == Exchange("ns.pidbox", type, durable=False, delivery_mode=1)
        assert mailbox.reply_exchange == Exchange(
            "reply.ns.pidbox", "direct", durable=False, delivery_mode=1
        )

    def test_queues(self, mailbox):
        assert (
            mailbox.get_queue("host1").as_dict()
            == Queue(
                "host1.ns.pidbox", mailbox.exchange, "", durable=False, exclusive=True
            ).as_dict()
        )
        oid = mailbox.oid
        assert (
            mailbox.reply_queue.as_dict()
            == Queue(
                f"{oid}.reply.ns.pidbox",
                mailbox.reply_exchange,
                oid,
                durable=False,
                exclusive=True,
                expires=10,
            ).as_dict()
        )

    def test_options(self):
        mailbox = Mailbox(
            "ns",
            queue_ttl=5,
            queue_expires=6,
            queue_durable=True,
            queue_exclusive=False,
            reply_queue_ttl=7,
            reply_queue_expires=8,
        )
        for queue, ttl, expires in (
            (mailbox.get_queue("h"), 5, 6),
            (mailbox.get_reply_queue(), 7, 8),
        ):
            assert (queue.durable, queue.exclusive, queue.auto_delete) == (True, False, False)
            assert (queue.message_ttl, queue.expires) == (ttl, expires)

    def test_durable_and_exclusive(self):
        with pytest.raises(ValueError, match="queue_exclusive"):
            Mailbox("ns", queue_durable=True)

    def test_copy_with_a_connection_shares_clock_and_late_replies(self, mailbox):
        connection = object()
        bound = mailbox(connection)
        assert (bound.connection, mailbox.connection) == (connection, None)
        assert bound.clock is mailbox.clock
        assert bound.unclaimed is mailbox.unclaimed


class TestAddressing:
    @pytest.mark.parametrize(
        ("destination", "pattern", "matcher", "meant"),
        [
            (None, None, None, True),
            (["host1"], None, None, True),
            (["host2"], None, None, False),
            ([], None, None, True),
            (None, "host*", "glob", True),
            (None, "^h", "pcre", True),
            (None, "x*", "glob", False),
            (["host2"], "host*", "glob", False),
            (None, "x*", None, True),
            ("host11", None, None, True),
        ],
    )
    def test_as_recorded(self, node, destination, pattern, matcher, meant):
        command = {
            "method": "ping",
            "arguments": {"x": 1},
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
        }
        expected = {"ok": "pong", "state": "state", "x": 1} if meant else None
        assert node.handle_message(command) == expected

    def test_unknown_matcher(self, node):
        with pytest.raises(MatcherNotInstalled):
            node.handle_message({"method": "ping", "pattern": "x", "matcher": "nonsense"})

    def test_clock_follows_the_message(self, node, mailbox):
        node.handle_message({"method": "ping"}, Headers(clock=41))
        assert mailbox.clock.value == 42
        node.handle_message({"method": "ping"}, Headers())
        assert mailbox.clock.value == 43


class TestDispatch:
    def test_reply(self, node, channel):
        node.dispatch(
            "ping", {"x": 1}, reply_to={"exchange": "re", "routing_key": "rk"}, ticket="t"
        )
        said = channel.named("basic_publish")[0]
        message = said["args"][0]
        assert (said["exchange"], said["routing_key"]) == ("re", "rk")
        assert message["headers"] == {"ticket": "t", "clock": 1}
        assert message["properties"] == {"delivery_mode": 1}
        assert message["body"] == '{"host1": {"ok": "pong", "state": "state", "x": 1}}'
        assert channel.named("exchange_declare")[0]["durable"] is False

    @pytest.mark.parametrize(
        ("method", "error"), [("fail", "KeyError('k')"), ("unknown", "KeyError('unknown')")]
    )
    def test_errors_are_told(self, node, channel, method, error):
        assert node.dispatch(method) == {"error": error}
        assert channel.calls == []
        node.dispatch(method, reply_to={"exchange": "re", "routing_key": "rk"}, ticket="t")
        body = channel.named("basic_publish")[0]["args"][0]["body"]
        assert body == f'{{"host1": {{"error": "{error}"}}}}'

    def test_exit_is_no_error(self, node):
        with pytest.raises(SystemExit):
            node.dispatch("leave")

    def test_another_node_with_the_name_is_warned_of(self, node, channel):
        with pytest.warns(UserWarning, match="host1 is already using"):
            node.listen()
        assert channel.named("basic_consume")[0]["no_ack"] is True
