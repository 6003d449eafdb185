"""Methods and their messages, put together from frames. Pure state, no I/O.

A message arrives as a method frame, a content header and as many body frames as it needs, in
this order on its channel; frames of other channels may come in between (AMQP 0-9-1, 4.2.6).
"""

from __future__ import annotations

from typing import Any

from amqp.exceptions import UnexpectedFrame

from . import wire

__all__ = ("Arrival", "Assembly")

#: Channel, method, its payload, and the message's properties (``None``: no message) and body.
Arrival = tuple[int, tuple[int, int], bytes, "dict[str, Any] | None", bytes]

_CONTENT_METHODS = frozenset({wire.BASIC_DELIVER, wire.BASIC_RETURN, wire.BASIC_GET_OK})


class _Partial:
    """A message of which not all frames have arrived."""

    __slots__ = ("body_size", "method", "payload", "pieces", "properties", "received")

    def __init__(self, method: tuple[int, int], payload: bytes) -> None:
        self.method = method
        self.payload = payload
        self.properties: dict[str, Any] | None = None
        self.body_size = 0
        self.received = 0
        self.pieces: list[bytes] = []


class Assembly:
    """The messages of one connection that are on their way."""

    def __init__(self) -> None:
        self._partial: dict[int, _Partial] = {}

    def add(self, frame: tuple[int, int, bytes]) -> Arrival | None:
        """Take a frame; what it completes, ``None``: nothing yet (or it is a heartbeat).

        Raises:
            UnexpectedFrame: it can't come next on its channel.
        """
        frame_type, channel_id, payload = frame
        if frame_type == wire.HEARTBEAT:
            return None
        partial = self._partial.get(channel_id)
        if frame_type == wire.METHOD:
            if partial is not None:
                raise _unexpected(frame_type, channel_id)
            method = (payload[0] << 8 | payload[1], payload[2] << 8 | payload[3])
            if method in _CONTENT_METHODS:
                self._partial[channel_id] = _Partial(method, payload)
                return None
            return channel_id, method, payload, None, b""
        if partial is None:
            raise _unexpected(frame_type, channel_id)
        if frame_type == wire.HEADER and partial.properties is None:
            (partial.body_size,) = wire.body_size.unpack_from(payload, 4)
            partial.properties = wire.read_properties(payload, 12)
            if partial.body_size:
                return None
            body = b""
        elif frame_type == wire.BODY and partial.properties is not None:
            partial.received += len(payload)
            if partial.received < partial.body_size:
                partial.pieces.append(payload)
                return None
            body = b"".join((*partial.pieces, payload)) if partial.pieces else payload
        else:
            raise _unexpected(frame_type, channel_id)
        del self._partial[channel_id]
        return channel_id, partial.method, partial.payload, partial.properties, body


def _unexpected(frame_type: int, channel_id: int) -> UnexpectedFrame:
    return UnexpectedFrame(f"Received frame of type {frame_type} on channel {channel_id}")
