"""Transport options of the AMQP transports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..options import TransportOptions, boolean, option, seconds
from .connection import CLOSE_TIMEOUT

__all__ = ("AMQPOptions",)


@dataclass(frozen=True)
class AMQPOptions(TransportOptions):
    """What ``transport_options`` may hold; all but the common ones are the connection's."""

    confirm_publish: bool = option(False, "wait for the broker's confirm", parse=boolean)
    confirm_timeout: float | None = option(
        None, "seconds to wait for a confirm; None: no limit", parse=seconds
    )
    close_timeout: float = option(
        CLOSE_TIMEOUT, "seconds for the broker to answer a close", parse=seconds
    )
    operation_timeout: float | None = option(
        None, "seconds for the broker to answer a declare, bind, ...; None: no limit", parse=seconds
    )
    read_timeout: float | None = option(
        None, "seconds after which waiting for the broker raises TimeoutError", parse=seconds
    )
    write_timeout: float | None = option(
        None, "seconds after which sending raises TimeoutError", parse=seconds
    )
    auto_heartbeat: bool = option(False, "send heartbeats from a thread", parse=boolean)
    heartbeat: float | None = option(None, "seconds between heartbeats", parse=seconds)
    login_method: str | None = option(None, "PLAIN, AMQPLAIN, EXTERNAL or GSSAPI")
    login_response: Any = option(None, "what to send for a login method not listed above")
    authentication: Any = option((), "amqp.sasl objects, instead of a login method")
    locale: str = option("en_US", "language of the broker's texts")
    channel_max: int | None = option(None, "most channels", parse=int)
    frame_max: int | None = option(None, "most bytes of a frame", parse=int)
    socket_settings: Mapping[Any, Any] | None = option(
        None, "TCP options by name or number, e.g. {'TCP_KEEPIDLE': 30}"
    )
    ssl: Any = option(None, "TLS options; rather Connection(ssl=...)")
    connect_timeout: float | None = option(
        None, "seconds; rather Connection(connect_timeout=...)", parse=seconds
    )
    on_open: Any = option(None, "called with the connection once it is open")
    on_blocked: Any = option(None, "called with the reason when the broker blocks publishers")
    on_unblocked: Any = option(None, "called when it takes publishes again")
    on_tune_ok: Any = option(None, "called when the parameters are agreed on")
    frame_handler: Any = option(None, "py-amqp's reader of frames, instead of ours")
    frame_writer: Any = option(None, "py-amqp's writer of frames, instead of its default")
    manager_hostname: str | None = option(None, "host of the management interface")
    manager_port: int | None = option(None, "port of the management interface", parse=int)
    manager_userid: str | None = option(None, "user of the management interface")
    manager_password: str | None = option(None, "password for the management interface")

    def for_connection(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options that were given and are the connection's, parsed."""
        names = self.names().keys() - TransportOptions.names().keys() | {"client_properties"}
        return {
            name: getattr(self, name)
            for name in given
            if name in names and not name.startswith("manager_")
        }
