"""Names of topics and subscriptions, and filters of subscriptions."""

from __future__ import annotations

import json
import re
import string
from hashlib import sha256
from typing import NamedTuple

_KEPT = "_-"
_TABLE = {ord(char): "_" for char in string.punctuation if char not in _KEPT}
_TABLE[ord(".")] = "-"

#: Attribute of a message that is for one queue only: the name of its subscription.
QUEUE = "kombu_queue"
#: Attribute that published peers route by.
ROUTING_KEY = "routing_key"
#: Attribute no message has; filters on it note bindings.
BINDING = "kombu_binding"
LONGEST_FILTER = 256
_BINDING_OF = "-binding-"

_KEY = re.compile(rf'attributes\.{ROUTING_KEY}\s*=\s*("(?:[^"\\]|\\.)*")')
_BINDING = re.compile(rf'attributes\.{BINDING}\s*=\s*("(?:[^"\\]|\\.)*")')


def subscription_id(queue: str, prefix: str = "") -> str:
    """The subscription of a queue, as published peers name it."""
    name = queue if queue.startswith(prefix) else prefix + queue
    return name.translate(_TABLE)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def queue_filter(subscription: str, routing_key: str | None) -> str:
    """The filter of a queue's subscription.

    It takes what is for this queue alone, and what peers publish to the exchange for all
    queues bound with this key (``None``: with any).
    """
    own = f"attributes.{QUEUE} = {_quoted(subscription)}"
    if routing_key is None:
        return f"{own} OR NOT attributes:{QUEUE}"
    key = f"attributes.{ROUTING_KEY} = {_quoted(routing_key)}"
    return f"{own} OR (NOT attributes:{QUEUE} AND {key})"


def key_of(filter: str) -> str | None:
    """The routing key in a queue's filter, of ours or of published peers; ``None``: any."""
    found = _KEY.search(filter)
    return None if found is None else str(json.loads(found[1]))


class Binding(NamedTuple):
    """A further binding of a queue, noted in a subscription that receives nothing."""

    routing_key: str
    queue: str

    def id(self, subscription: str, exchange: str) -> str:
        digest = sha256(json.dumps([exchange, *self]).encode()).hexdigest()[:16]
        return f"{subscription}{_BINDING_OF}{digest}"

    @staticmethod
    def owner(id: str) -> str:
        """The queue's own subscription."""
        return id.rpartition(_BINDING_OF)[0]

    def filter(self) -> str:
        """A filter that no message passes."""
        return f"attributes.{BINDING} = {_quoted(json.dumps(self, separators=(',', ':')))}"

    @classmethod
    def read(cls, filter: str) -> Binding | None:
        found = _BINDING.search(filter)
        if found is None:
            return None
        try:
            routing_key, queue = json.loads(json.loads(found[1]))
        except (TypeError, ValueError):
            return None
        return cls(str(routing_key), str(queue))
