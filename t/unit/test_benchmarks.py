"""The benchmark's table: what fails leaves a gap; better is above 1, for rates and for costs."""

from __future__ import annotations

import subprocess
import time

import pytest

from t.benchmarks.__main__ import in_turn
from t.benchmarks.rows import row, rows
from t.benchmarks.summary import as_rst, as_text, lines


def fail() -> dict[str, float]:
    raise RuntimeError("broker.py publish: no such server")


def hang() -> dict[str, float]:
    raise subprocess.TimeoutExpired("broker.py", 120)


@pytest.mark.parametrize("failing", [fail, hang])
def test_a_side_that_fails_leaves_a_gap(failing: object, capsys: pytest.CaptureFixture) -> None:
    sides = {"published": failing, "ours": lambda: {"publish/s": 2.0}}
    measured = list(in_turn("redis publish", sides, 2, time.monotonic() + 60))
    assert measured == [{"ours": {"publish/s": 2.0}}] * 2
    (line,) = rows("redis publish", measured)
    assert (line["published"], line["ours"], line["ratio"]) == (None, 2.0, None)
    assert capsys.readouterr().out.count("published could not be measured") == 1


def test_when_the_time_is_over_each_has_had_one_turn() -> None:
    sides = {"ours": lambda: {"publish/s": 2.0}}
    assert len(list(in_turn("x", sides, 3, time.monotonic() - 1))) == 1


def test_better_is_above_one() -> None:
    measured = [
        {
            "published": {"publish/s": 10.0},
            "ours": {"publish/s": 30.0},
            "redis-py": {"publish/s": 60},
        }
    ]
    table = [row("redis publish", "publish/s", measured)]
    measured = [{"published": {"p50 ms": 8.0}, "ours": {"p50 ms": 2.0}}]
    table.append(row("redis latency", "p50 ms", measured))
    measured = [{"published": {"connections": 0.0}, "ours": {"connections": 0.0}}]
    table.append(row("redis idle", "connections", measured))
    measured = [{"ours": {"publish/s": 5.0}}]
    table.append(row("redis+streams publish", "publish/s", measured))
    found = {(line.broker, line.figure.shown): (line.better, line.raw) for line in lines(table)}
    assert found == {
        ("redis", "publish/s"): (3.0, 60),
        ("redis", "latency p50, ms"): (4.0, None),
        ("redis", "connections"): (None, None),
        ("redis+streams", "publish/s"): (None, None),
    }
    text = "\n".join(as_text(list(lines(table))))
    assert (
        "redis               publish/s                           10          30       3 x" in text
    )
    assert "   * - redis\n     - 10 → 30 (raw 60)\n" in as_rst(list(lines(table)))
