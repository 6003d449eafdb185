"""Ids that name one object of one thread of one process of one machine."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_OID, uuid3, uuid4, uuid5


@lru_cache(maxsize=1)
def get_node_id() -> int:
    """A random number that is the same for the life of this process and its children."""
    return uuid4().int


def generate_oid(node_id: int, process_id: int, thread_id: int, instance: Any) -> str:
    """The id, as text of a UUID, of an object where it is.

    Arguments:
        node_id: of the machine, as a number.
        process_id: of the process.
        thread_id: of the thread.
        instance: the object.
    """
    text = f"{node_id:x}-{process_id:x}-{thread_id:x}-{id(instance):x}"
    try:
        return str(uuid3(NAMESPACE_OID, text))
    except ValueError:  # MD5 is not to be had in FIPS mode
        return str(uuid5(NAMESPACE_OID, text))


def oid_from(instance: Any, threads: bool = True) -> str:
    """The id of an object, here and now.

    Arguments:
        instance: the object.
        threads: another id in each thread.
    """
    thread_id = threading.get_ident() if threads else 0
    return generate_oid(get_node_id(), os.getpid(), thread_id, instance)
