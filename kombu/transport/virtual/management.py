"""Administration of a virtual broker."""

from __future__ import annotations

from typing import Any

from kombu.transport import base


class Management(base.Management):
    """Administration of a virtual broker.

    Arguments:
        transport: the virtual transport.
    """

    def __init__(self, transport: Any) -> None:
        super().__init__(transport)
        self.channel = transport.client.channel()

    def get_bindings(self) -> list[dict[str, str]]:
        """All bindings: ``destination``, ``source`` and ``routing_key`` each."""
        return [
            {"destination": queue, "source": exchange, "routing_key": routing_key}
            for queue, exchange, routing_key in self.channel.list_bindings()
        ]

    def close(self) -> None:
        """Close its channel."""
        self.channel.close()
