"""The doctor on real servers: each fault has its cause and its mend named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kombu import Connection
from kombu.cli import main
from t.services.pool import Servers

redis = pytest.mark.server("redis-secure")
rabbitmq = pytest.mark.server("rabbitmq")


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", *arguments, "--json", "--timeout", "4"])
    out = capsys.readouterr()
    assert "secret" not in out.out + out.err
    assert "wrong-pw" not in out.out + out.err
    return code, json.loads(out.out)


def failing(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    code, report = examine(capsys, *arguments)
    assert (code, report["ok"]) == (1, False)
    failed: dict[str, str] = report["failed"]
    return failed


def cause_of(connection: Connection) -> BaseException:
    """The last of the chain of what connecting raises."""
    with pytest.raises(connection.connection_errors) as raised:
        connection.connect()
    exc: BaseException = raised.value
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc


@redis
def test_redis(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    env = servers.env("redis-secure")
    plain, secure = env["REDIS_AUTH_URL"], env["REDIS_TLS_URL"]

    code, report = examine(capsys, plain)
    assert (code, report["tls"]) == (0, None)
    assert report["server"].startswith("Redis ")
    code, report = examine(capsys, secure, "--tls-ca", env["REDIS_TLS_CA"])
    assert code == 0
    assert report["tls"].startswith("TLSv1.")

    failed = failing(capsys, plain.replace("secret", "wrong-pw"))
    assert failed["kind"] == "wrong-password"
    assert "check user name and password" in failed["mend"]
    assert failing(capsys, plain.replace(":secret@", ""))["kind"] == "wrong-password"

    failed = failing(capsys, plain.removesuffix("0") + "99")
    assert failed["kind"] == "wrong-vhost"
    assert "database number" in failed["mend"]

    failed = failing(capsys, secure.replace("rediss", "redis"))
    assert failed["kind"] == "tls-mismatch"
    assert "rediss://" in failed["mend"]
    failed = failing(capsys, plain.replace("redis:", "rediss:"))
    assert failed["kind"] == "tls-mismatch"

    failed = failing(capsys, secure)
    assert failed["kind"] == "untrusted-certificate"
    assert "--tls-ca" in failed["mend"]


@rabbitmq
def test_rabbitmq(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    env = servers.env("rabbitmq")
    plain, secure = env["RABBITMQ_URL"], env["RABBITMQ_TLS_URL"]

    code, report = examine(capsys, plain)
    assert code == 0
    assert report["server"].startswith("RabbitMQ ")
    code, report = examine(capsys, secure, "--tls-ca", env["RABBITMQ_TLS_CA"])
    assert code == 0
    assert report["tls"].startswith("TLSv1.")

    failed = failing(capsys, plain.replace("guest:guest", "guest:wrong-pw"))
    assert failed["kind"] == "wrong-password"
    assert "'guest'" in failed["cause"]

    failed = failing(capsys, plain.removesuffix("/") + "no-such-vhost")
    assert failed["kind"] == "wrong-vhost"
    assert "rabbitmqctl add_vhost no-such-vhost" in failed["mend"]

    failed = failing(capsys, secure.replace("amqps", "amqp"))
    assert failed["kind"] == "tls-mismatch"
    assert "amqps://" in failed["mend"]
    assert failing(capsys, plain.replace("amqp:", "amqps:"))["kind"] == "tls-mismatch"
    assert failing(capsys, secure)["kind"] == "untrusted-certificate"


@pytest.mark.server("nats")
def test_nats(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    url = servers.env("nats")["NATS_URL"]
    assert examine(capsys, url)[0] == 0
    failed = failing(capsys, url.replace("nats://", "nats://joe:wrong-pw@"), "--tls")
    assert failed["kind"] == "tls-mismatch"
    assert failing(capsys, "nats://127.0.0.1:9")["kind"] == "dead-port"


@pytest.mark.server("nats")
def test_nats_and_nothing_listens(servers: Servers) -> None:
    """An application is told the cause, too, and at once."""
    with pytest.raises(OSError, match="Connect call failed"):
        raise cause_of(Connection("nats://127.0.0.1:9", connect_timeout=4))


@pytest.mark.server("etcd")
def test_etcd(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    url = servers.env("etcd")["ETCD_URL"]
    assert examine(capsys, url)[0] == 0
    assert failing(capsys, url, "--tls")["kind"] == "tls-mismatch"
    assert failing(capsys, "etcd://127.0.0.1:9")["kind"] == "dead-port"


@pytest.mark.server("azurite")
def test_azure(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    url = servers.env("azurite")["AZURE_QUEUES_URL"]
    assert examine(capsys, url)[0] == 0
    account = url.rpartition("@")[2]
    failed = failing(capsys, f"azurestoragequeues://d3JvbmctcHc=@{account}")
    assert failed["kind"] == "wrong-password"
    unreachable = "azurestoragequeues://a2V5@http://127.0.0.1:9/account"
    assert failing(capsys, unreachable)["kind"] == "dead-port"


@pytest.mark.server("kafka")
def test_kafka(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    url = servers.env("kafka")["KAFKA_URL"]
    assert failing(capsys, url, "--tls")["kind"] == "tls-mismatch"
    assert failing(capsys, "confluentkafka://127.0.0.1:9")["kind"] == "dead-port"


@pytest.mark.server("pyro5")
def test_pyro(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    url = servers.env("pyro5")["PYRO5_URL"]
    assert examine(capsys, url)[0] == 0
    failed = failing(capsys, f"{url}-not-there")
    assert failed["kind"] == "wrong-vhost"
    assert "python -m kombu.transport.pyro" in failed["mend"]
    assert failing(capsys, "pyro://127.0.0.1:9/kombu.broker")["kind"] == "dead-port"


@rabbitmq
def test_all_queues(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    env = servers.env("rabbitmq")
    url, port = env["RABBITMQ_URL"], env["RABBITMQ_MANAGEMENT_URL"].rpartition(":")[2]
    assert main(["declare", url, "cli-listed", "--json"]) == 0
    assert main(["queues", url, "-o", f"manager_port={port}", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert "cli-listed" in [row["queue"] for row in rows]
    assert main(["queues", url, "-o", "manager_port=9"]) == 2
    assert "name the queues" in capsys.readouterr().err


@rabbitmq
def test_queues_and_publishing(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    url = servers.env("rabbitmq")["RABBITMQ_URL"]
    assert main(["publish", url, "no-such-queue", "1"]) == 1
    assert "kombu declare" in capsys.readouterr().err
    assert main(["declare", url, "cli-tasks", "--json"]) == 0
    assert main(["publish", url, "cli-tasks", "1", "2", "3", "--json"]) == 0
    assert main(["queues", url, "cli-tasks", "no-such-queue", "--json"]) == 1
    assert main(["consume", url, "cli-tasks", "-n", "2", "--json"]) == 0
    assert main(["consume", url, "cli-tasks", "--peek", "--json"]) == 0
    assert main(["purge", url, "cli-tasks", "--yes", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[2] == {"queue": "cli-tasks", "ready": 3, "unacked": None, "consumers": 0}
    assert [each["body"] for each in lines[3:5]] == [1, 2]
    # None was taken beyond the two, or it would have come back marked.
    assert (lines[5]["body"], lines[5]["redelivered"]) == (3, False)
    assert lines[6] == {"queue": "cli-tasks", "purged": 1}
