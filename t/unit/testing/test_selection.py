"""Which conformance tests apply is decided from the declared features."""

from __future__ import annotations

from collections import Counter

import pytest

from kombu.testing.conformance import TransportConformance
from kombu.testing.conformance.suite import CAPABILITIES
from kombu.transport.features import Features

EVERYTHING = Features(
    **{name: True for name, field in Features.__dataclass_fields__.items() if field.type == "bool"}
)


def suite(features: Features, **attributes: object) -> type[TransportConformance]:
    return type("Suite", (TransportConformance,), {"features": features, **attributes})


def collected(cls: type) -> set[str]:
    return {n for n in dir(cls) if n.startswith("test_") and callable(getattr(cls, n))}


def test_no_two_capabilities_have_a_name_in_common() -> None:
    names = Counter(
        name
        for tests in CAPABILITIES.values()
        for name in vars(tests)
        if not name.startswith(("__", "conformance_"))
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_every_capability_is_part_of_the_suite() -> None:
    assert all(issubclass(TransportConformance, tests) for tests in CAPABILITIES.values())


def test_undeclared_features_take_their_tests_away() -> None:
    bare = suite(Features(exchange_types=frozenset({"direct"})))
    names = collected(bare)
    assert "test_publish_and_get" in names
    assert not names & {"test_priority", "test_topic_pattern", "test_rejected", "test_delayed"}
    assert bare.not_applicable["test_priority"] == ("priority",)


def test_refusals_take_their_place() -> None:
    assert "test_mandatory_is_refused_or_warned_about" in collected(suite(Features()))
    assert "test_mandatory_is_refused_or_warned_about" not in collected(suite(EVERYTHING))


def test_everything_but_what_needs_more_of_the_harness() -> None:
    whole = suite(EVERYTHING, restartable=True)
    assert set(whole.not_applicable) == {
        name
        for name, why in whole.not_applicable.items()
        if any(reason.startswith("no ") for reason in why)
    }


def test_drop_in_tests_only_where_there_is_such_a_mode() -> None:
    assert "test_redeclared_queue_is_warned_about" in collected(suite(EVERYTHING))
    strict = suite(EVERYTHING, drop_in=False)
    assert "test_redeclared_queue_is_warned_about" not in collected(strict)


def test_a_deviation_is_left_out_with_its_reason() -> None:
    made = suite(EVERYTHING, deviations={"test_large_body": "no room"})
    assert "test_large_body" not in collected(made)
    assert made.not_applicable["test_large_body"] == ("no room",)


def test_a_deviation_from_no_test_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="test_nonsense"):
        suite(EVERYTHING, deviations={"test_nonsense": "?"})


def test_suites_do_not_share_what_they_leave_out() -> None:
    one, two = suite(Features()), suite(EVERYTHING)
    assert "test_priority" in one.not_applicable
    assert "test_priority" not in two.not_applicable
    assert "test_priority" in collected(two)
