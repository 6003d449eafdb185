"""Queue names for AWS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.SQS.names import LONGEST_NAME, aws_name


@pytest.mark.parametrize(
    ("name", "prefix", "expected"),
    [
        ("a.b", "", "a-b"),
        ("a:b/c", "", "a_b_c"),
        ("x.fifo", "", "x.fifo"),
        ("a.b.fifo", "", "a-b.fifo"),
        ("a.fifo.x", "", "a-fifo-x"),
        ("celery@host.celery.pidbox", "", "celery_host-celery-pidbox"),
        ("x.fifo", "pre.", "pre-x.fifo"),
    ],
)
def test_names_as_published_peers_write_them(name: str, prefix: str, expected: str) -> None:
    assert aws_name(name, prefix) == expected


@given(st.text(min_size=1, max_size=300), st.sampled_from(["", "prefix."]))
def test_no_name_is_longer_than_aws_takes(name: str, prefix: str) -> None:
    assert len(aws_name(name, prefix)) <= max(LONGEST_NAME, 1)


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert aws_name("q" * 100 + "a") != aws_name("q" * 100 + "b")
