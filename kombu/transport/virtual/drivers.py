"""What the channels of drivers have in common."""

from __future__ import annotations

from typing import Any

from kombu.transport.virtual.channel import Channel


class DriverChannel(Channel):
    """Base of the drivers' channels: applications may subclass them as they did the published.

    Arguments:
        args: the transport.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
