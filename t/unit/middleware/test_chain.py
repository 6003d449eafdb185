"""The chain: its order, what it costs when it is empty, and who has it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from kombu import Connection, pools
from kombu.middleware import Chain, Middleware, install, installed, uninstall
from t.unit.middleware.watching import Watch


class OnlyPublish(Middleware):
    def on_publish(self, publishing: Any, proceed: Any) -> Any:
        publishing.headers["seen"] = "yes"
        return proceed(publishing)


def test_an_empty_chain_has_no_hooks() -> None:
    chain = Chain()
    assert not len(chain)
    for hook in ("publish", "deliver", "settle", "declare", "reconnect", "notice"):
        assert getattr(chain, hook) is None


def test_only_what_is_overridden_is_called() -> None:
    chain = Chain([OnlyPublish()])
    assert chain.publish is not None
    assert chain.deliver is chain.settle is chain.declare is None


def test_a_middleware_that_is_not_enabled_costs_nothing() -> None:
    off = OnlyPublish()
    off.enabled = False
    assert Chain([off]).publish is None


def test_the_first_is_outermost() -> None:
    seen: list[Any] = []
    with Connection("memory://", middleware=[Watch("a.", seen), Watch("b.", seen)]) as connection:
        connection.middleware.add(Watch("c.", seen), first=True)
        connection.Producer().publish("x", routing_key="order")
    assert [what for what in seen if "publish" in what[0]] == [
        ("c.publish", "order"),
        ("a.publish", "order"),
        ("b.publish", "order"),
        ("b.publish", "done"),
        ("a.publish", "done"),
        ("c.publish", "done"),
    ]


def test_added_and_removed_at_run_time() -> None:
    watch = Watch()
    with Connection("memory://") as connection:
        producer = connection.Producer()
        producer.publish("x", routing_key="late")
        connection.middleware.add(watch)
        producer.publish("x", routing_key="late")
        connection.middleware.remove(watch)
        producer.publish("x", routing_key="late")
        with pytest.raises(ValueError, match="not in the chain"):
            connection.middleware.remove(watch)
        connection.channel().queue_purge("late")
    assert watch.begun == [("publish", "late")]


def test_what_is_no_middleware_is_refused() -> None:
    with pytest.raises(TypeError, match="instances of Middleware"):
        Connection("memory://", middleware=[OnlyPublish])  # the class, not an instance
    with pytest.raises(TypeError, match="instances of Middleware"):
        install(object())  # type: ignore[arg-type]


def test_clones_and_pools_share_the_chain_and_pickles_do_not() -> None:
    connection = Connection("memory://", middleware=[OnlyPublish()])
    assert connection.clone().middleware is connection.middleware
    with connection.Pool(1).acquire() as pooled:
        assert pooled.middleware is connection.middleware
    assert not len(pickle.loads(pickle.dumps(connection)).middleware)


def test_pools_by_equality_keep_middleware_apart() -> None:
    plain, watched = Connection("memory://"), Connection("memory://", middleware=[OnlyPublish()])
    assert pools.producers[plain] is not pools.producers[watched]
    assert pools.producers[watched] is pools.producers[watched.clone()]


def test_what_is_installed_is_outermost_in_connections_made_later() -> None:
    before = Connection("memory://")
    everywhere, own = OnlyPublish(), Watch()
    install(everywhere)
    try:
        assert installed() == (everywhere,)
        assert list(Connection("memory://", middleware=[own]).middleware) == [everywhere, own]
        assert not len(before.middleware)
    finally:
        uninstall(everywhere)
    assert not len(Connection("memory://").middleware)


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip


def test_the_environment_names_middleware() -> None:
    done = _python(
        "from kombu import Connection\n"
        "print([type(each).__name__ for each in Connection('memory://').middleware])",
        KOMBU_MIDDLEWARE="t.unit.middleware.test_chain:OnlyPublish, kombu.nowhere:Nothing, none",
    )
    assert done.stdout.strip() == "['OnlyPublish']"


def test_a_connection_loads_the_chain_and_no_middleware() -> None:
    done = _python(
        "import sys\nfrom kombu import Connection\nConnection('memory://').connect()\n"
        "print(*(name for name in sys.modules if 'kombu.middleware.' in name"
        " or name.startswith('opentelemetry')))"
    )
    assert sorted(done.stdout.split()) == [
        "kombu.middleware.chain",
        "kombu.middleware.events",
        "kombu.middleware.registry",
    ]
