"""Objects made of attributes, and binding them to channels."""

from __future__ import annotations

import copy
import pickle

import pytest

from kombu.abstract import MaybeChannelBound, Object
from kombu.exceptions import NotBoundError


class Thing(MaybeChannelBound):
    attrs = (("name", None), ("size", int), ("flag", bool), ("inner", None))
    name = "default"
    bound_to = ()

    def when_bound(self):
        self.bound_to = (*self.bound_to, self.channel)


class Channel:
    channel_id = 77


class Connection:
    def __init__(self):
        self.opened = 0

    @property
    def default_channel(self):
        self.opened += 1
        return "its channel"


def test_attributes_are_converted_and_default_to_the_class():
    thing = Thing(size="3", unknown=1)
    assert (thing.name, thing.size, thing.flag) == ("default", 3, None)
    assert thing.as_dict() == {"name": "default", "size": 3, "flag": None, "inner": None}
    assert Thing(flag=0).flag is False


def test_as_dict_may_recurse():
    thing = Thing(inner=Thing(name="in"))
    assert isinstance(thing.as_dict()["inner"], Thing)
    assert thing.as_dict(recurse=True)["inner"]["name"] == "in"


@pytest.mark.parametrize("clone", [copy.copy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_clones_are_unbound(clone):
    cloned = clone(Thing(name="x", size=2)(Channel()))
    assert cloned.as_dict() == Thing(name="x", size=2).as_dict()
    assert not cloned.is_bound


def test_binding_makes_a_copy():
    thing, channel = Thing(name="x"), Channel()
    bound = thing(channel)
    assert bound is not thing
    assert (bound.is_bound, bound.channel, bound.name) == (True, channel, "x")
    assert bound.bound_to == (channel,)
    assert not thing.is_bound
    with pytest.raises(NotBoundError, match="Thing not bound"):
        _ = thing.channel


def test_bind_again_and_maybe():
    first, second = Channel(), Channel()
    bound = Thing()(first)
    assert bound.maybe_bind(second) is bound
    assert bound.channel is first
    assert bound.bind(second).channel is second
    assert not Thing().maybe_bind(None).is_bound
    thing = Thing()
    assert thing.maybe_bind(first) is thing
    assert thing.channel is first


def test_revive_moves_what_is_bound():
    thing, channel = Thing(), Channel()
    thing.revive(channel)
    assert not thing.is_bound
    bound = thing(Channel())
    bound.revive(channel)
    assert bound.channel is channel
    assert bound.bound_to[-1] is channel


def test_a_connection_lends_its_channel_once():
    connection = Connection()
    bound = Thing()(connection)
    assert bound.channel == bound.channel == "its channel"
    assert connection.opened == 1


def test_repr():
    assert repr(Thing()) == "<unbound Thing>"
    assert repr(Thing()(Channel())) == "<Thing bound to chan:77>"


def test_plain_object():
    class Point(Object):
        attrs = (("x", int), ("y", int))

    assert Point(x="1").as_dict() == {"x": 1, "y": None}
    assert MaybeChannelBound().can_cache_declaration is False
