"""What commands do to a broker, and their exit codes."""

from __future__ import annotations

import errno
import io
import json
import socket

import pytest

from kombu import Connection, Queue
from kombu.cli import main, publish
from kombu.cli.bodies import as_record
from kombu.message import Message


def fill(folder, queue: str, *bodies, **options) -> None:
    with Connection("filesystem://", transport_options=folder.options) as connection:
        producer = connection.Producer()
        for body in bodies:
            producer.publish(body, routing_key=queue, declare=[Queue(queue)], **options)


def test_consuming_a_count_takes_no_more(kombu_call, folder) -> None:
    fill(folder, "tasks", *range(5))
    code, got = kombu_call("consume", "tasks", "-n", "2")
    assert code == 0
    assert [each["body"] for each in got] == [0, 1]
    code, got = kombu_call("consume", "tasks", "--wait", "0.1")
    assert [(each["body"], each["redelivered"]) for each in got] == [
        (2, False), (3, False), (4, False),
    ]  # fmt: skip


def test_peeking_leaves_all_in_order(kombu_call, folder) -> None:
    fill(folder, "tasks", *range(60))
    _, got = kombu_call("consume", "tasks", "--peek", "--wait", "0.5")
    assert [each["body"] for each in got] == list(range(60))
    _, rows = kombu_call("queues", "tasks")
    assert rows[0]["ready"] == 60


def test_a_pickle_is_shown_but_not_loaded(kombu_call, folder) -> None:
    with Connection("filesystem://", transport_options=folder.options) as connection:
        connection.Producer().publish(
            b"cos\nsystem\n(S'exit 1'\ntR.", routing_key="tasks", declare=[Queue("tasks")],
            content_type="application/x-python-serialize", content_encoding="binary",
        )  # fmt: skip
    code, got = kombu_call("consume", "tasks", "-n", "1")
    assert code == 0
    assert got[0]["decoded"] is False
    assert got[0]["content_type"] == "application/x-python-serialize"


def test_purge_asks_first(kombu_call, folder, capsys, monkeypatch) -> None:
    fill(folder, "tasks", 1, 2)
    code, _ = kombu_call("purge", "tasks")
    assert code == 2
    code, rows = kombu_call("purge", "tasks", "--yes")
    assert (code, rows) == (0, [{"queue": "tasks", "purged": 2}])


def test_queues_that_are_not_there(kombu_call) -> None:
    code, rows = kombu_call("queues", "nowhere")
    assert (code, rows) == (1, [])


def test_held_messages_are_counted(kombu_call, folder) -> None:
    fill(folder, "tasks", 1, 2, 3)
    with Connection("filesystem://", transport_options=folder.options) as connection:
        held = Queue("tasks")(connection.default_channel).get()
        assert held is not None
        _, rows = kombu_call("queues", "tasks")
        assert (rows[0]["ready"], rows[0]["unacked"]) == (2, 1)


def test_publishing_where_nobody_listens_fails(kombu_call) -> None:
    code, rows = kombu_call("publish", "-x", "", "tasks", "1")
    kombu_call("declare", "other", "-x", "events", "--type", "topic", "-k", "a.#")
    code, rows = kombu_call("publish", "b.c", "1", "-x", "events")
    assert (code, rows) == (1, [{"published": 0, "returned": 1}])
    code, rows = kombu_call("publish", "a.c", "1", "-x", "events")
    assert (code, rows) == (0, [{"published": 1, "returned": 0}])


def test_what_to_declare_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    url = "memory://localhost/undeclared"
    assert main(["declare", url, "other", "-x", "events", "--type", "topic", "-k", "a.#"]) == 0
    assert main(["publish", url, "b.c", "1", "-x", "events"]) == 1
    assert "kombu declare URL QUEUE -x events -k b.c" in capsys.readouterr().err


def test_dead_letters_go_back(kombu_call, folder) -> None:
    kombu_call(
        "declare", "tasks",
        "-a", "x-dead-letter-exchange=", "-a", "x-dead-letter-routing-key=dead",
    )  # fmt: skip
    kombu_call("declare", "dead")
    kombu_call("publish", "tasks", "1", "2", "-H", "kind=test")
    with Connection("filesystem://", transport_options=folder.options) as connection:
        queue = Queue("tasks", no_declare=True)(connection.default_channel)
        for _ in range(2):
            queue.get().reject()
    fill(folder, "dead", "a message that never died")

    code, rows = kombu_call("requeue", "dead")
    assert (code, rows) == (1, [{"requeued": 2, "left": 1}])
    code, got = kombu_call("consume", "tasks", "-n", "2")
    assert [each["body"] for each in got] == [1, 2]
    assert [each["headers"] for each in got] == [{"kind": "test"}] * 2
    code, rows = kombu_call("requeue", "dead", "--to", "tasks")
    assert (code, rows) == (0, [{"requeued": 1, "left": 0}])


def test_bench_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "memory://", "-n", "200"]) == 0
    assert "lost        0 of 200" in capsys.readouterr().out


def test_wrong_usage(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.delenv("NO_SUCH_BROKER", raising=False)
    assert main(["queues", "env:NO_SUCH_BROKER"]) == 2
    assert "NO_SUCH_BROKER" in capsys.readouterr().err
    assert main(["queues", "localhost"]) == 2
    assert main(["publish", "memory://", "q", "1", "-o", "strict"]) == 2


def test_usage_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "publish" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["declare", "memory://", "q", "--dead-letter", "x"])
    told = capsys.readouterr().err
    assert "[-a NAME=VALUE]" in told
    assert "unrecognized arguments: --dead-letter" in told
    with pytest.raises(SystemExit):
        main(["publish", "memory://"])
    assert "required: QUEUE\n" in capsys.readouterr().err


def test_a_dash_is_standard_input(kombu_call, folder, monkeypatch) -> None:
    kombu_call("declare", "tasks")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"id": 1}\ntext\n'))
    assert kombu_call("publish", "tasks", "-") == (0, [{"published": 2, "returned": 0}])
    _, got = kombu_call("consume", "tasks", "-n", "2")
    assert [each["body"] for each in got] == [{"id": 1}, "text"]


def test_an_empty_queue_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["declare", "memory://localhost/empty", "tasks"]) == 0
    assert main(["consume", "memory://localhost/empty", "tasks", "--wait", "0.05"]) == 3
    assert "no message in queue 'tasks'" in capsys.readouterr().err


def test_failures_name_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        assert main(["queues", f"amqp://joe:hidden-pw@127.0.0.1:{port}//", "tasks"]) == 1
    told = capsys.readouterr().err
    assert f"nothing listens at 127.0.0.1:{port}" in told
    assert "hidden-pw" not in told


def test_a_url_from_the_environment(monkeypatch, capsys) -> None:
    monkeypatch.setenv("BROKER", "memory://localhost/from-env")
    assert main(["doctor", "env:BROKER"]) == 0
    assert "memory" in capsys.readouterr().out


def test_a_broker_that_goes_away_is_not_taken_for_a_reader_that_does(monkeypatch, capsys) -> None:
    def lose_the_connection(args, console):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(publish, "run", lose_the_connection)
    assert main(["publish", "memory://", "tasks", "body"]) == 1
    assert "kombu: " in capsys.readouterr().err


def test_headers_with_names_that_are_bytes_are_shown() -> None:
    message = Message(body="x", headers={b"\xff": [{b"a": 1}]})
    assert json.loads(json.dumps(as_record(message)))["headers"] == {"\\xff": [{"a": 1}]}
