"""Sending and receiving messages."""

from __future__ import annotations

from kombu.entity import Exchange, Queue

from .batch import DEFAULT_BATCH_SIZE, ProducerBatch
from .consumer import Consumer
from .producer import Producer

__all__ = ("DEFAULT_BATCH_SIZE", "Consumer", "Exchange", "Producer", "ProducerBatch", "Queue")
