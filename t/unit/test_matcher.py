"""Matching names against patterns."""

from __future__ import annotations

import re

import pytest

from kombu.matcher import MatcherNotInstalled, MatcherRegistry, match, register, unregister


@pytest.mark.parametrize(
    ("data", "pattern", "matcher", "matches"),
    [
        ("worker1", "worker?", "glob", True),
        ("worker12", "worker?", "glob", False),
        ("worker1", "WORKER*", "glob", False),
        ("a\nb", "a*b", "glob", True),
        ("worker1", "*", None, True),
        (b"worker1", b"work*", None, True),
        ("worker1", "^worker", "pcre", True),
        ("worker1", "orker", "pcre", False),
    ],
)
def test_match(data, pattern, matcher, matches):
    assert bool(match(data, pattern, matcher)) is matches


def test_errors():
    with pytest.raises(re.error):
        match("x", "(", "pcre")
    with pytest.raises(MatcherNotInstalled, match="nope"):
        match("x", "x", "nope")
    with pytest.raises(MatcherNotInstalled, match="nope"):
        unregister("nope")


def test_register():
    register("suffix", lambda data, pattern, **kwargs: data.endswith(pattern) and (kwargs or True))
    try:
        assert match("worker1", "1", "suffix") is True
        assert match("worker1", "1", "suffix", {"a": 1}) == {"a": 1}
    finally:
        unregister("suffix")
    with pytest.raises(MatcherNotInstalled):
        match("worker1", "1", "suffix")


def test_registry_of_ones_own():
    registry = MatcherRegistry()
    with pytest.raises(registry.MatcherNotInstalled):
        registry.match("a", "a")
    registry.register("same", lambda data, pattern: (data, pattern))
    registry._set_default_matcher("same")
    assert registry.match("a", "b") == ("a", "b")
    registry.matcher_pattern_first = ["same"]
    assert registry.match("a", "b", "same") == ("b", "a")
