"""Which errors of a driver mean what, said once per transport.

A transport lists its driver's exceptions in one :class:`ErrorTable`; the public
tuples (``connection_errors``, ``channel_errors`` and the recoverable ones) are
derived from it. Rows are ordered: the first that matches decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, NamedTuple

from amqp.exceptions import ChannelError as AMQPChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError
from amqp.exceptions import RecoverableChannelError, RecoverableConnectionError

Scope = Literal["connection", "channel"]


class ErrorRow(NamedTuple):
    """One driver exception: which of the two scopes it ends, and whether a retry may help.

    ``announced`` is False for one that says so only of a driver's call: applications that catch
    the transport's errors must not catch it where it comes from elsewhere.
    """

    error: type[BaseException]
    scope: Scope
    recoverable: bool = True
    announced: bool = True


class ErrorTable:
    """The errors of one transport.

    Arguments:
        rows: the driver's exceptions, most specific first.
    """

    def __init__(self, rows: Sequence[ErrorRow] = ()) -> None:
        self.rows = tuple(rows)

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """The driver's exceptions, of all rows."""
        return tuple(row.error for row in self.rows)

    @property
    def connection_errors(self) -> tuple[type[BaseException], ...]:
        """Raised when the connection is of no use any more."""
        return (AMQPConnectionError, *self._select("connection"))

    @property
    def channel_errors(self) -> tuple[type[BaseException], ...]:
        """Raised when an operation was refused; the connection goes on."""
        return (AMQPChannelError, *self._select("channel"))

    @property
    def recoverable_connection_errors(self) -> tuple[type[BaseException], ...]:
        """Connection errors after which connecting again may help."""
        return (RecoverableConnectionError, *self._select("connection", recoverable=True))

    @property
    def recoverable_channel_errors(self) -> tuple[type[BaseException], ...]:
        """Channel errors after which the same operation on a new channel may succeed."""
        return (RecoverableChannelError, *self._select("channel", recoverable=True))

    def _select(
        self, scope: Scope, recoverable: bool | None = None
    ) -> Iterator[type[BaseException]]:
        for row in self.rows:
            if row.announced and row.scope == scope and recoverable in (None, row.recoverable):
                yield row.error

    def mapped(self, doing: str) -> AbstractContextManager[None]:
        """Turn a driver's exception into the library's own, next to the call that raised it.

        Arguments:
            doing: what was being done, for the message, e.g. ``"claim from queue 'a'"``;
                must hold no credentials.

        Raises:
            RecoverableConnectionError, amqp ConnectionError, RecoverableChannelError,
            amqp ChannelError: as the table says, chained to the driver's exception.
        """
        return Mapped(self, doing)

    def translate(self, exc: BaseException, doing: str) -> Exception:
        """The library's exception for ``exc`` (which must match a row)."""
        row = next(row for row in self.rows if isinstance(exc, row.error))
        text = f"{doing}: {type(exc).__name__}: {exc}"
        kind: type[Exception]
        if row.scope == "connection":
            kind = RecoverableConnectionError if row.recoverable else AMQPConnectionError
        else:
            kind = RecoverableChannelError if row.recoverable else AMQPChannelError
        return kind(text)


class Mapped(AbstractContextManager[None]):
    """What :meth:`ErrorTable.mapped` returns; a class, as a generator would cost each message.

    Arguments:
        table: the errors of the transport.
        doing: what is being done, for the message.
    """

    __slots__ = ("_doing", "_table")

    def __init__(self, table: ErrorTable, doing: str) -> None:
        self._table = table
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if exc is None or isinstance(exc, (AMQPConnectionError, AMQPChannelError)):
            return
        if isinstance(exc, self._table.errors):
            raise self.translated(exc) from exc

    def translated(self, exc: BaseException) -> Exception:
        """Hook: the library's exception for one of the table's, where text tells more of it."""
        return self._table.translate(exc, self._doing)
