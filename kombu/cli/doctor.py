"""``kombu doctor``: is this broker all right, and if not, why, and what mends it?"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import time
from contextlib import closing
from typing import Any

import kombu
from kombu.cli import reach
from kombu.cli.arguments import FAILED, OK, command, make_connection, url_of
from kombu.cli.console import Console
from kombu.cli.diagnosis import Diagnosis, diagnose, speaks_plain, speaks_tls
from kombu.cli.target import Target, addresses, target_of, unknown_target
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.transport.features import Features
from kombu.utils.uuid import uuid

#: Messages that go there and back.
ROUND_TRIPS = 5

#: Schemes whose host and port are those of one server.
_SOCKETS = frozenset(
    {
        "amqp",
        "amqps",
        "confluentkafka",
        "consul",
        "etcd",
        "kafka",
        "mongodb",
        "nats",
        "pgmq",
        "pyamqp",
        "pyro",
        "qpid",
        "redis",
        "rediss",
        "slmq",
        "zookeeper",
    }
)

#: Those of which a URL may list several servers, of which one is used at a time.
_ONE_AT_A_TIME = ("amqp", "amqps", "pyamqp", "redis", "rediss")

#: Schemes of servers that begin in plain text and turn to TLS later, or know no TLS.
_PLAIN_FIRST = frozenset({"nats", "pgmq", "pyro"})


def add(subparsers: Any) -> None:
    command(
        subparsers,
        "doctor",
        run,
        "connect, send a message there and back, and say what is wrong and what mends it",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    reports = []
    urls = addresses(url_of(args), _ONE_AT_A_TIME)
    for number, url in enumerate(urls, 1):
        if len(urls) > 1 and not console.as_json:
            console.result({}, f"address {number} of {len(urls)}")
        # A variable that was named is read already.
        examination = Examination(argparse.Namespace(**{**vars(args), "url": url}), console)
        healthy = examination.run()
        reports.append({**examination.report, "ok": healthy})
    healthy = all(report["ok"] for report in reports)
    if console.as_json:
        console.result(
            reports[0] if len(reports) == 1 else {"addresses": reports, "ok": healthy}, ""
        )
    return OK if healthy else FAILED


class Examination:
    """One examination of a broker, told step by step."""

    def __init__(self, args: argparse.Namespace, console: Console) -> None:
        self.args = args
        self.url = url_of(args)
        self.console = console
        self.report: dict[str, Any] = {"kombu": kombu.__version__}
        self._tls: tuple[str, str] | None = None

    def run(self) -> bool:
        """Examine; whether all is well."""
        self._say("versions", f"kombu {kombu.__version__}, Python {platform.python_version()}")
        self.report["python"] = platform.python_version()
        try:
            connection = make_connection(self.args, self.console)
            target = target_of(connection, self.url)
        except (KeyError, ImportError, ValueError) as exc:
            step = "client library" if isinstance(exc, ImportError) else "url"
            return self._fail(step, diagnose(exc, unknown_target(self.url)))
        self.report["url"] = connection.as_uri()
        self._say("url", connection.as_uri())
        try:
            return self._reach(target) and self._connect(connection, target)
        finally:
            connection.release()

    # ---- the steps

    def _reach(self, target: Target) -> bool:
        """Name service, port and TLS, without the client library."""
        if not self._is_socket(target):
            return True
        assert target.port is not None
        timeout = min(self.args.timeout, 5.0)
        try:
            with closing(reach.connect(target.host, target.port, timeout)):
                pass
            if target.tls and target.scheme not in _PLAIN_FIRST:
                self._tls = reach.tls_of(target.host, target.port, min(timeout, 3.0))
                if self._tls is None:
                    return self._fail("tls", speaks_plain(target))
        except OSError as exc:
            return self._fail("network", diagnose(exc, target))
        self._say("network", f"{target.where} listens")
        return True

    def _is_socket(self, target: Target) -> bool:
        several = ";" in self.url or "," in target.host or "://" in target.host
        return target.scheme in _SOCKETS and bool(target.port) and not several

    def _connect(self, connection: Connection, target: Target) -> bool:
        started = time.monotonic()
        try:
            connection.ensure_connection(
                max_retries=0, timeout=self.args.timeout, reraise_as_library_errors=False
            )
            taken = time.monotonic() - started
            self._describe(connection, target, taken)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the doctor names it
            return self._fail("connection", self._explain(exc, target))
        try:
            self._round_trip(connection)
        except Exception as exc:  # noqa: BLE001 - as above
            return self._fail("round trip", self._explain(exc, target))
        return True

    def _explain(self, exc: BaseException, target: Target) -> Diagnosis:
        found = diagnose(exc, target)
        if found.kind in ("unknown", "closed", "no-answer") and self._is_socket(target):
            assert target.port is not None
            try:
                if self._may_speak_tls(target) and reach.tls_of(target.host, target.port, 2.0):
                    return speaks_tls(target)
            except OSError:
                return found
        return found

    @staticmethod
    def _may_speak_tls(target: Target) -> bool:
        return not target.tls and target.scheme not in _PLAIN_FIRST

    def _describe(self, connection: Connection, target: Target, taken: float) -> None:
        transport = connection.transport
        self.report["driver"] = f"{transport.driver_name} {transport.driver_version()}"
        self.report["connect_ms"] = round(taken * 1000, 1)
        self.report["heartbeats"] = bool(connection.supports_heartbeats)
        self._say(
            "connection",
            f"{self.report['driver']}, connected in {self.report['connect_ms']} ms",
        )
        server = _server_of(connection)
        if server:
            self.report["server"] = server
            self._say("server", server)
        self.report["tls"] = " ".join(self._tls) if self._tls else None
        if self._is_socket(target) and target.scheme not in _PLAIN_FIRST:
            checked = "" if not self.args.tls_insecure else ", certificate not checked"
            self._say("tls", " ".join(self._tls) + checked if self._tls else "none: plain text")
        features = getattr(transport, "features", None)
        if isinstance(features, Features):
            self.report["features"] = names = _names(features)
            self._say("features", ", ".join(names))

    def _round_trip(self, connection: Connection) -> None:
        name = f"kombu-doctor-{uuid()}"
        times = []
        with closing(connection.channel()) as channel:
            queue = Queue(name, durable=False, auto_delete=True)(channel)
            queue.declare()
            try:
                producer = connection.Producer(channel)
                for _ in range(ROUND_TRIPS):
                    started = time.monotonic()
                    producer.publish({"from": "kombu doctor"}, exchange="", routing_key=name)
                    self._receive(queue)
                    times.append(time.monotonic() - started)
            finally:
                queue.delete()
        self.report["round_trip_ms"] = round(statistics.median(times) * 1000, 2)
        self._say("round trip", f"{self.report['round_trip_ms']} ms (median of {ROUND_TRIPS})")

    def _receive(self, queue: Queue) -> None:
        deadline = time.monotonic() + max(self.args.timeout, 1)
        while time.monotonic() < deadline:
            message = queue.get(accept=["json"])
            if message is not None:
                message.ack()
                return
            time.sleep(0.001)
        raise TimeoutError("the message that was sent did not come back")

    # ---- telling

    def _say(self, step: str, text: str) -> None:
        if not self.console.as_json:
            self.console.result({}, f"ok    {step + ':':<16}{text}")

    def _fail(self, step: str, found: Diagnosis) -> bool:
        self.report["failed"] = {"step": step, **dataclasses.asdict(found)}
        if not self.console.as_json:
            self.console.result({}, f"FAIL  {step + ':':<16}{found.cause}")
            self.console.result({}, f"      {'mend:':<16}{found.mend}")
        return False


def _names(features: Features) -> list[str]:
    """What a transport can do, by name."""
    able = [
        each.name for each in dataclasses.fields(features) if getattr(features, each.name) is True
    ]
    return [*sorted(features.exchange_types), *able]


def _server_of(connection: Connection) -> str | None:
    """Name and version of the server, where it tells them."""
    told = getattr(connection.connection, "server_properties", None)
    if isinstance(told, dict):
        return " ".join(str(told[key]) for key in ("product", "version") if key in told) or None
    if connection.transport.driver_type == "redis":
        with closing(connection.channel()) as channel:
            about = channel.client.info("server")
        return f"Redis {about['redis_version']}" if "redis_version" in about else None
    return None
