"""Waiting for messages: one long poll for each queue, and one for owners and delays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import h11

from kombu.transport.http import Server
from kombu.transport.keyvalue.backlog import Backlog
from kombu.transport.keyvalue.errors import ERRORS
from kombu.transport.keyvalue.layout import LIVE
from kombu.transport.keyvalue.longpoll import LongPoll
from kombu.transport.keyvalue.port import KeyValue
from kombu.transport.waking import Source

#: Polls of queues that nobody waits for just now are kept, up to so many.
_SPARE = 8


class Watches(Source):
    """News by long polls; only the waiting thread touches them.

    Arguments:
        backlog: gives what is known of a queue.
        live_index: from where on owners and delays are to be watched; ``None``: not known yet.
        on_live: called when owners or delays came or went.
    """

    def __init__(
        self,
        keys: KeyValue,
        server: Server,
        backlog: Callable[[str], Backlog],
        live_index: Callable[[], int | None],
        on_live: Callable[[], None],
    ) -> None:
        self.keys = keys
        self.server = server
        self.backlog = backlog
        self.live_index = live_index
        self.on_live = on_live
        self._polls: dict[str, LongPoll] = {}
        self._wanted: tuple[str, ...] = ()

    def look(self, queues: Sequence[str]) -> bool:
        news = False
        with ERRORS.mapped("watch for messages"):
            for queue in queues:
                backlog = self.backlog(queue)
                if backlog.may_have_messages or self._has_news(backlog.folder, backlog.index or 0):
                    backlog.news()
                    news = True
            index = self.live_index()
            if index is not None and self._has_news(LIVE, index):
                self.on_live()
        self._wanted = (*(self.backlog(queue).folder for queue in queues), LIVE)
        self._drop_spare()
        return news

    def _has_news(self, folder: str, index: int) -> bool:
        """Ask, unless it is being asked already; whether something came."""
        poll = self._polls.get(folder)
        if poll is None:
            poll = self._polls[folder] = LongPoll(self.server)
        try:
            while True:
                if not poll.is_awaiting:
                    poll.begin(self.keys.watch_request(folder, index))
                reply = poll.read()
                if reply is None:
                    return False
                unmoved = self.keys.watch_result(reply, index)
                if unmoved is None:
                    return True
                index = unmoved
        except (ConnectionResetError, BrokenPipeError, h11.RemoteProtocolError):
            # Hung up, as servers do after a while: what came meanwhile the next claim finds,
            # or it finds that the server is gone.
            return True

    def _drop_spare(self) -> None:
        if len(self._polls) > len(self._wanted) + _SPARE:
            for folder in set(self._polls) - set(self._wanted):
                self._polls.pop(folder).close()

    def filenos(self) -> Sequence[int]:
        return [
            poll.fileno()
            for folder in self._wanted
            if (poll := self._polls.get(folder)) is not None and poll.is_awaiting
        ]

    def close(self) -> None:
        polls, self._polls = self._polls, {}
        for poll in polls.values():
            poll.close()
