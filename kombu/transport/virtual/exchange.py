"""The names that lived here; they are at home in :mod:`.exchange_types`."""

from __future__ import annotations

from kombu.transport.virtual.exchange_types import (
    STANDARD_EXCHANGE_TYPES,
    DirectExchange,
    ExchangeType,
    FanoutExchange,
    HeadersExchange,
    TopicExchange,
)

__all__ = (
    "STANDARD_EXCHANGE_TYPES",
    "DirectExchange",
    "ExchangeType",
    "FanoutExchange",
    "HeadersExchange",
    "TopicExchange",
)
