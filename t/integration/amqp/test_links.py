"""Bad links are noticed within the limits that are configured, and work goes on afterwards."""

from __future__ import annotations

import pytest

from t.links import HEAD, trials


@pytest.mark.server("rabbitmq")
@pytest.mark.timeout(120)
def test_every_limit_holds(url, capsys):
    rows = list(trials(url))
    with capsys.disabled():
        print("", HEAD, *rows, sep="\n")
    assert [row for row in rows if not row.good] == []
