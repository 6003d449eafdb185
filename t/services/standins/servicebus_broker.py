"""The AMQP 1.0 side of the Service Bus stand-in."""

import uuid
from urllib.parse import urlsplit

from proton import (
    UNDESCRIBED,
    Array,
    Condition,
    Data,
    Delivery,
    Link,
    Message,
    Terminus,
    int32,
    symbol,
)
from proton.handlers import MessagingHandler

from t.services.standins.servicebus_queues import LOCK, QUEUES, TOPICS, ms, now, text, unpack, wire

#: Of the Standard tier.
LARGEST_MESSAGE = 262_144


class Broker(MessagingHandler):
    def __init__(self, port):
        super().__init__(prefetch=0, auto_accept=False, auto_settle=False)
        del self.handlers[-2:]  # decoding and settling is done here
        self.port = port
        self.consumers: dict = {}  # queue name -> {Link}, in order of arrival
        self.replies: dict = {}  # (connection, address) -> sender
        self.refused: list = []
        self.pending: dict = {}  # (link name, tag) -> (EntityQueue, token)

    def on_start(self, event):
        self.container = event.container
        self.acceptor = event.container.listen(f"127.0.0.1:{self.port}")
        event.container.schedule(0.1, self)

    def on_timer_task(self, event):
        self.pump_all()
        self.container.schedule(0.05, self)

    # -- links

    def on_link_opening(self, event):
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.snd_settle_mode = link.remote_snd_settle_mode
        link.rcv_settle_mode = link.remote_rcv_settle_mode
        address = link.remote_source.address if link.is_sender else link.remote_target.address
        address = urlsplit(address).path.strip("/") if "://" in (address or "") else address or ""
        special = address == "$cbs" or address.lower().endswith("/$management")
        topic = link.is_receiver and address.lower() in TOPICS
        if not special and not topic and not QUEUES.find(address):
            link.condition = Condition(
                "amqp:not-found", f"The messaging entity {address!r} could not be found."
            )
            (link.target if link.is_receiver else link.source).type = Terminus.UNSPECIFIED
            self.refused.append(link)  # proton opens it after this returns
            return
        if link.is_sender:
            if special:
                self.replies[event.connection, address] = link
            else:
                self.consumers.setdefault(address.lower(), []).append(link)
        else:
            link.max_message_size = LARGEST_MESSAGE
            link.flow(500)

    def on_link_local_open(self, event):
        if event.link in self.refused:
            self.refused.remove(event.link)
            event.link.close()

    def on_link_closing(self, event):
        self.forget(event.link)
        event.link.close()

    def on_connection_closing(self, event):
        self.drop(event.connection)
        event.connection.close()

    def on_disconnected(self, event):
        self.drop(event.connection)

    def drop(self, connection):
        for links in self.consumers.values():
            for link in [x for x in links if x.connection == connection]:
                self.forget(link)
        for key in [k for k in self.replies if k[0] == connection]:
            del self.replies[key]

    def forget(self, link):
        if link.is_sender:
            for links in self.consumers.values():
                if link in links:
                    links.remove(link)

    # -- to consumers

    def on_link_flow(self, event):
        if event.link.is_sender:
            self.pump_all()

    def pump_all(self):
        with LOCK:
            for entity in list(QUEUES.values()):
                for q in (entity, entity.dead):
                    q.tick()
                    self.pump(q)

    def pump(self, q):
        links = self.consumers.get(q.name.lower(), [])
        while q.ready and any(x.credit > 0 for x in links):
            for link in list(links):
                if link.credit > 0 and q.ready:
                    peek_lock = link.remote_snd_settle_mode != Link.SND_SETTLED
                    s = q.take(peek_lock)
                    tag = (s.token or uuid.uuid4()).bytes_le
                    d = link.delivery(tag)
                    link.send(wire(s).encode())
                    link.advance()
                    if peek_lock:
                        self.pending[id(link), bytes(tag)] = (q, s.token, d)
                    else:
                        d.settle()
                    links.append(links.pop(0))  # round robin
        for link in links:
            if link.drain_mode and not q.ready:
                link.drained()

    def on_delivery(self, event):
        d = event.delivery
        if d.link.is_sender and d.updated:
            self.outcome(d)
        elif d.link.is_receiver and d.readable and not d.partial:
            raw = d.link.recv(d.pending)
            d.link.advance()
            self.received(event, unpack(bytes(raw)))
            if d.link.credit < 100:
                d.link.flow(500)

    def outcome(self, d):
        state = d.remote_state
        key = next((k for k, v in self.pending.items() if v[2] == d), None)
        if key is None:
            d.settle()
            return
        q, token, _ = self.pending[key]
        if not state and not d.settled:
            return
        del self.pending[key]
        with LOCK:
            if state == Delivery.ACCEPTED:
                done = q.complete(token)
            elif state == Delivery.REJECTED:
                c = d.remote.condition
                info = {text(k): text(v) for k, v in ((c and c.info) or {}).items()}
                done = q.deadletter(
                    token,
                    info.get("DeadLetterReason", ""),
                    info.get("DeadLetterErrorDescription", ""),
                )
            elif state == Delivery.MODIFIED and d.remote.undeliverable:
                done = q.defer(token)
            else:
                done = q.release(token, failed=state == Delivery.MODIFIED)
            if done is None:
                d.local.condition = Condition(
                    "com.microsoft:message-lock-lost", "The lock supplied is invalid."
                )
                d.update(Delivery.REJECTED)
            else:
                d.update(state or Delivery.RELEASED)
            d.settle()
            self.pump(q)

    # -- from producers and management clients

    def accept(self, delivery):
        delivery.update(Delivery.ACCEPTED)
        delivery.settle()

    def received(self, event, messages):
        link, msg = event.link, messages[0]
        address = (link.target.address or "").strip("/")
        if "://" in address:
            address = urlsplit(address).path.strip("/")
        if address == "$cbs":
            self.accept(event.delivery)
            self.reply(
                event, address, msg, None, 202, "Accepted", ("status-code", "status-description")
            )
        elif address.lower().endswith("/$management"):
            self.accept(event.delivery)
            q = QUEUES.find(address[: -len("/$management")])
            with LOCK:
                code, body, why = self.manage(q, msg)
            self.reply(event, address, msg, body, code, why)
            with LOCK:
                self.pump(q)
        else:
            with LOCK:
                targets = TOPICS.get(address.lower())
                queues = [
                    QUEUES.find(address if targets is None else each)
                    for each in ([address] if targets is None else targets.values())
                ]
                if targets is None and queues[0] is None:
                    link.condition = Condition("amqp:not-found", f"{address!r} was deleted.")
                    link.close()
                    return
                for q in filter(None, queues):
                    for msg in messages:
                        due = (msg.annotations or {}).get(symbol("x-opt-scheduled-enqueue-time"), 0)
                        q.put(msg, int(due) / 1000)
                self.accept(event.delivery)
                for q in filter(None, queues):
                    self.pump(q)

    def reply(
        self, event, address, request, body, code, why, names=("statusCode", "statusDescription")
    ):
        sender = self.replies.get((event.connection, address))
        if sender is None:
            return
        out = Message(body=body, correlation_id=request.id)
        out.properties = {names[0]: int32(code), names[1]: why}
        if code >= 400:
            out.properties["errorCondition"] = symbol(why)
        sender.send(out)

    def manage(self, q, msg):
        props = {text(k): v for k, v in (msg.properties or {}).items()}
        op = text(props.get("operation", "")).partition(":")[2]
        body = {text(k): v for k, v in (msg.body or {}).items()} if msg.body else {}

        def items(key):
            v = body.get(key) or []
            return list(v.elements if isinstance(v, Array) else v)

        if op == "renew-lock":
            out = []
            for token in items("lock-tokens"):
                s = q.locked.get(token)
                if s is None:
                    return 410, None, "com.microsoft:message-lock-lost"
                s.locked_until = now() + q.lock
                out.append(ms(s.locked_until))
            return 200, {"expirations": Array(UNDESCRIBED, Data.TIMESTAMP, *out)}, "OK"
        if op == "peek-message":
            start, n = int(body.get("from-sequence-number", 0)), int(body.get("message-count", 1))
            every = sorted(
                [s for _, s in q.ready]
                + [*q.locked.values(), *q.deferred.values(), *q.scheduled.values()],
                key=lambda s: s.seq,
            )
            got = [{"message": wire(s).encode()} for s in every if s.seq >= start][:n]
            return (200, {"messages": got}, "OK") if got else (204, None, "NoContent")
        if op == "schedule-message":
            seqs = []
            for item in items("messages"):
                item = {text(k): v for k, v in item.items()}
                m = Message()
                m.decode(bytes(item["message"]))
                due = (m.annotations or {}).get(symbol("x-opt-scheduled-enqueue-time"), 0)
                seqs.append(q.put(m, int(due) / 1000))
            return 200, {"sequence-numbers": Array(UNDESCRIBED, Data.LONG, *seqs)}, "OK"
        if op == "cancel-scheduled-message":
            for n in items("sequence-numbers"):
                q.scheduled.pop(int(n), None)
            return 200, None, "OK"
        if op == "update-disposition":
            act = {
                "completed": q.complete,
                "defered": q.defer,
                "abandoned": lambda t: q.release(t, True),
                "suspended": lambda t: q.deadletter(
                    t,
                    text(body.get("deadletter-reason", "")),
                    text(body.get("deadletter-description", "")),
                ),
            }[text(body["disposition-status"])]
            if any(act(t) is None for t in items("lock-tokens")):
                return 410, None, "com.microsoft:message-lock-lost"
            return 200, None, "OK"
        if op == "receive-by-sequence-number":
            got = []
            for n in items("sequence-numbers"):
                s = q.deferred.pop(int(n), None)
                if s is None:
                    return 404, None, "com.microsoft:message-not-found"
                s.count += 1
                entry = {"message": None}
                if int(body.get("receiver-settle-mode", 1)) == 1:
                    s.token, s.locked_until = uuid.uuid4(), now() + q.lock
                    q.locked[s.token] = s
                    entry["lock-token"] = s.token
                entry["message"] = wire(s).encode()
                got.append(entry)
            return 200, {"messages": got}, "OK"
        return 501, None, "amqp:not-implemented"
