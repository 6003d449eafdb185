"""Queues of the Service Bus stand-in: locks, dead letters, schedules, and how messages look."""

import heapq
import itertools
import re
import threading
import time
import uuid
from collections import OrderedDict

from proton import Message, symbol, timestamp

DLQ = "/$deadletterqueue"
LOCK = threading.RLock()  # the REST threads and the AMQP thread share QUEUES


def now():
    return time.time()


def ms(seconds):
    return timestamp(int(seconds * 1000))


def iso_seconds(text, default):
    m = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", text or "")
    if not m:
        return default
    d, h, mi, s = (float(x or 0) for x in m.groups())
    return d * 86400 + h * 3600 + mi * 60 + s


class Stored:
    """One message in a queue."""

    __slots__ = (
        "count",
        "deferred",
        "due",
        "enqueued",
        "expires",
        "locked_until",
        "msg",
        "seq",
        "token",
    )

    def __init__(self, msg, seq, ttl):
        self.msg, self.seq, self.enqueued, self.count = msg, seq, now(), 0
        own = msg.ttl or 0
        ttl = min(ttl, own) if own else ttl
        self.expires = now() + ttl
        self.token = self.locked_until = None
        self.deferred, self.due = False, 0


class EntityQueue:
    def __init__(self, name, lock=60, attempts=10, ttl=1e9, dead_expired=False, xml=""):
        self.name, self.lock, self.attempts, self.ttl = name, lock, attempts, ttl
        self.dead_expired, self.xml = dead_expired, xml
        self.seqs = itertools.count(1)
        self.ready: list = []  # heap of (seq, Stored)
        self.scheduled: dict = {}  # seq -> Stored
        self.locked: OrderedDict = OrderedDict()  # token -> Stored
        self.deferred: dict = {}  # seq -> Stored
        self.dead = None if name.endswith(DLQ) else EntityQueue(name + DLQ)
        self.created = now()

    def put(self, msg, due=0):
        s = Stored(msg, next(self.seqs), self.ttl)
        if due > now():
            s.due = due
            self.scheduled[s.seq] = s
        else:
            heapq.heappush(self.ready, (s.seq, s))
        return s.seq

    def tick(self):
        """Expire locks and messages, release scheduled ones."""
        t = now()
        for s in [s for s in self.locked.values() if s.locked_until <= t]:
            self.release(s.token, failed=True)
        for s in [s for s in self.scheduled.values() if s.due <= t]:
            del self.scheduled[s.seq]
            s.enqueued, s.seq = t, next(self.seqs)  # as if it came now
            heapq.heappush(self.ready, (s.seq, s))
        if any(s.expires <= t for _, s in self.ready):
            old, self.ready = self.ready, []
            for item in old:
                if item[1].expires > t:
                    self.ready.append(item)
                elif self.dead_expired:
                    self.bury(item[1], "TTLExpiredException", "The message expired")
            heapq.heapify(self.ready)

    def take(self, lock):
        s = heapq.heappop(self.ready)[1]
        s.count += 1
        if lock:
            s.token, s.locked_until = uuid.uuid4(), now() + self.lock
            self.locked[s.token] = s
        return s

    def complete(self, token):
        return self.locked.pop(token, None)

    def release(self, token, failed):
        s = self.locked.pop(token, None)
        if s is None:
            return None
        s.token = None
        if not failed:
            s.count -= 1  # "released" is no attempt
        if failed and s.count >= self.attempts and self.dead is not None:
            self.bury(s, "MaxDeliveryCountExceeded", "too many deliveries")
        elif s.deferred:
            self.deferred[s.seq] = s
        else:
            heapq.heappush(self.ready, (s.seq, s))
        return s

    def defer(self, token):
        s = self.locked.pop(token, None)
        if s:
            s.deferred = True
            self.deferred[s.seq] = s
        return s

    def deadletter(self, token, reason="", text=""):
        s = self.locked.pop(token, None)
        if s:
            self.bury(s, reason, text)
        return s

    def bury(self, s, reason, text):
        if self.dead is None:
            return
        s.msg.properties = {
            **(s.msg.properties or {}),
            "DeadLetterReason": reason,
            "DeadLetterErrorDescription": text,
        }
        self.dead.put(s.msg)


class Queues(dict):
    """Names are case-insensitive."""

    def find(self, name):
        name = name.lower().strip("/")
        base, dlq, _ = name.partition(DLQ)
        q = self.get(base)
        return q and (q.dead if dlq else q)


QUEUES = Queues()
#: Topic -> subscription -> the queue that it forwards to, names in lower case.
TOPICS: dict = {}


def wire(s):
    """The stored message as the service sends it."""
    m = Message()
    m.decode(s.msg.encode())
    m.delivery_count = max(0, s.count - 1)
    notes = dict(m.annotations or {})
    notes[symbol("x-opt-sequence-number")] = s.seq
    notes[symbol("x-opt-enqueued-time")] = ms(s.enqueued)
    if s.token:
        notes[symbol("x-opt-locked-until")] = ms(s.locked_until)
    if s.due:
        notes[symbol("x-opt-scheduled-enqueue-time")] = ms(s.due)
    m.annotations = notes
    return m


def data_sections(raw):
    """Payloads of the data sections of an encoded message."""
    at, out = 0, []
    while at < len(raw):
        code, at = (raw[at + 2], at + 3) if raw[at + 1] == 0x53 else (raw[at + 9], at + 10)
        kind, at = raw[at], at + 1
        width = {0x4: 0, 0xA: 1, 0xC: 1, 0xE: 1, 0xB: 4, 0xD: 4, 0xF: 4}.get(kind >> 4)
        if width is None:
            return []  # a fixed-width amqp-value: no batch
        size = int.from_bytes(raw[at : at + width], "big")
        at += width
        if code == 0x75:
            out.append(raw[at : at + size])
        at += size
    return out


def unpack(raw):
    """The messages in a transfer: several when it is a batch.

    The message format (0x80013700) tells, but proton does not: take it for a
    batch when every data section is itself an encoded message.
    """
    parts = []
    for data in data_sections(raw):
        m = Message()
        try:
            if data[:2] not in (b"\0S", b"\0\x80"):
                raise ValueError
            m.decode(data)
        except Exception:  # noqa: BLE001 - proton raises what it likes on bytes that are no message
            parts = []
            break
        parts.append(m)
    if not parts:
        m = Message()
        m.decode(raw)
        parts = [m]
    return parts


def text(value):
    return value.decode() if isinstance(value, (bytes, memoryview)) else str(value)
