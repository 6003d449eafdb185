"""One held connection for commands: packed by hand, pipelined, scripts by their hash.

redis-py's own layers per command cost several times what the server takes for an LPUSH, so
commands go straight onto a connection of its pool.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import select
import threading
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis import exceptions

from kombu.transport.redis.errors import refined
from kombu.transport.redis.readiness import new_poll
from kombu.transport.redis.renewals import Credentials
from kombu.utils.deadlines import time_left

logger = logging.getLogger("kombu.transport.redis")

Command = Sequence["str | bytes | int | float"]

#: What tells that the other side closed, and nothing else, where the platform can.
_HANGUP = getattr(select, "POLLRDHUP", 0)

#: Seconds of silence after which a TLS connection is looked at before it is used again.
_TLS_IDLE = 1.0


class Script:
    """A Lua script, known to the server by its hash.

    Arguments:
        name: file name without ``.lua`` in this package.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = _source(name)
        # Redis before 7 takes no flags line; the line number of an error stays right.
        self.plain = "--" + self.text if self.text.startswith("#!") else self.text
        self.sha = hashlib.sha1(self.text.encode()).hexdigest()
        self.plain_sha = hashlib.sha1(self.plain.encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<Script {self.name}>"


def _source(name: str) -> str:
    """A script's text, with what it includes."""
    text = files(__package__).joinpath(f"{name}.lua").read_text("utf-8")
    return re.sub(r"^--include (\w+)$", lambda found: _source(found[1]), text, flags=re.MULTILINE)


def pack(*commands: Command) -> bytes:
    """Commands in the Redis protocol."""
    parts: list[bytes] = []
    add = parts.append
    for command in commands:
        add(b"*%d\r\n" % len(command))
        for value in command:
            if isinstance(value, str):
                value = value.encode("utf-8", "surrogatepass")
            elif not isinstance(value, bytes):
                value = b"%d" % value if type(value) is int else str(value).encode()
            add(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


class Link:
    """Commands over one connection, which is taken from the pool once and held.

    Safe for use from several threads, one at a time; in a forked child it takes a connection
    of its own. Raises redis-py's exceptions.

    Arguments:
        pool: a redis-py connection pool.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._renewed: Credentials | None = None
        self._connection: Any = None
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._used = 0.0
        self._poll: Any = None
        self._plain_scripts = False
        #: Grows each time another connection is taken: what was set up on the old is gone.
        self.generation = 0

    @property
    def connection(self) -> Any:
        """The redis-py connection in use, or ``None``."""
        return self._connection

    # ---- commands

    def call(self, *command: str | bytes | int | float) -> Any:
        """Send one command and return its reply."""
        (reply,) = self.exchange([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together and return their replies; error replies are among them."""
        payload = pack(*commands)
        with self._lock:
            connection = self._ready()
            try:
                connection.send_packed_command([payload])
                replies: list[Any] = []
                failure: Exception | None = None
                for _ in commands:
                    left = time_left()
                    if left is not None and not connection.can_read(left):
                        raise exceptions.TimeoutError("no reply within the time given")
                    try:
                        replies.append(connection.read_response(disconnect_on_error=True))
                    except exceptions.ResponseError as exc:
                        exc = refined(exc)  # type: ignore[assignment]
                        replies.append(exc)
                        if isinstance(exc, exceptions.ReadOnlyError):
                            failure = exc
                if failure is not None:
                    # The server was demoted; its successor is found by connecting again.
                    self.reset()
            except exceptions.ResponseError:
                raise
            except BaseException:
                self.reset()
                raise
            self._used = time.monotonic()
            return replies

    def script(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int | float],
        asking: bool = False,
    ) -> Any:
        """Run a script and return its reply.

        Arguments:
            asking: say ASKING first: the slot of the keys is on its way to this server.
        """
        with self._lock:
            for attempt in (1, 2, 3):
                sha = script.plain_sha if self._plain_scripts else script.sha
                run: list[Any] = ["EVALSHA", sha, len(keys), *keys, *arguments]
                reply = self.exchange([("ASKING",), run] if asking else [run])[-1]
                if isinstance(reply, exceptions.NoScriptError) and attempt < 3:
                    self._load(script)
                    continue
                if isinstance(reply, Exception):
                    raise reply
                return reply
        raise AssertionError("unreachable")

    def _load(self, script: Script) -> None:
        text = script.plain if self._plain_scripts else script.text
        (reply,) = self.exchange([("SCRIPT", "LOAD", text)])
        if isinstance(reply, exceptions.NoPermissionError):
            raise reply
        if isinstance(reply, Exception):
            if self._plain_scripts or text == script.plain:
                raise reply
            self._plain_scripts = True
            self._load(script)

    # ---- the connection

    def _ready(self) -> Any:
        if self._pid != os.getpid():
            self._connection = None
            self._pid = os.getpid()
        connection = self._connection
        if connection is not None and self._went_stale(connection):
            self.reset()
            connection = None
        if connection is None:
            connection = self._pool.get_connection()
            self._connection = connection
            self.generation += 1
            self._poll = None
            if not connection.is_connected:
                connection.connect()
            self._renewed = None
        elif self._renewed is not None:
            self._authenticate(connection)
        return connection

    def renew(self, credentials: Credentials) -> None:
        """Authenticate anew: now, or before the next command while another thread is at it."""
        self._renewed = credentials
        if self._connection is None or not self._lock.acquire(blocking=False):
            return
        try:
            if self._connection is not None and self._renewed is not None:
                self._authenticate(self._connection)
        except (exceptions.RedisError, OSError) as exc:
            # The next command connects again, with what the provider says then.
            logger.warning("could not authenticate anew: %s", type(exc).__name__)
        finally:
            self._lock.release()

    def _authenticate(self, connection: Any) -> None:
        credentials, self._renewed = self._renewed, None
        if credentials is None or self._pid != os.getpid():
            return
        try:
            connection.send_packed_command([pack(("AUTH", *credentials))])
            connection.read_response()
        except BaseException:
            self.reset()
            raise

    def _went_stale(self, connection: Any) -> bool:
        """Whether the server closed the connection while nobody looked."""
        sock = getattr(connection, "_sock", None)
        if sock is None:
            return True
        if hasattr(sock, "pending"):
            if time.monotonic() - self._used < _TLS_IDLE:
                return False
            try:
                return bool(connection.can_read(0))
            except exceptions.RedisError:
                return True
        if self._poll is None:
            self._poll = new_poll()
            self._poll.register(sock, select.POLLIN)
        return bool(self._poll.poll(0))

    def watch(self, poll: Any) -> None:
        """Have a poll end when the server closes the connection."""
        sock = getattr(self._connection, "_sock", None) if self._pid == os.getpid() else None
        if sock is not None and _HANGUP:
            poll.register(sock, _HANGUP)

    def drop_if_cut(self) -> bool:
        """Give the connection up if the server has closed it; whether it had."""
        if not self._lock.acquire(blocking=False):
            # In use by another thread, which will see.
            return False
        try:
            sock = getattr(self._connection, "_sock", None) if self._pid == os.getpid() else None
            if sock is None:
                return False
            poll = new_poll()
            poll.register(sock, _HANGUP)
            if not poll.poll(0):
                return False
            self.reset()
            return True
        finally:
            self._lock.release()

    def reset(self) -> None:
        """Give the connection up; the next command takes another."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._poll = None
            if connection is not None:
                connection.disconnect()
                if self._pid == os.getpid():
                    self._pool.release(connection)

    def close(self) -> None:
        """As :meth:`reset`; a forked child leaves the parent's connection alone."""
        if self._pid == os.getpid():
            self.reset()


Connect = Callable[[], Any]
