"""A stand-in for Azure Service Bus: queues over AMQP 1.0, enough for the SDK.

    python -m t.services.standins.servicebus PORT [CERT KEY]        (needs python-qpid-proton)

There is no emulator outside a container image.  This speaks the protocol the
azure-servicebus SDK speaks when its connection string ends in
``UseDevelopmentEmulator=true`` (no TLS, one endpoint for AMQP and the
management REST API; a small front door looks at the first bytes; SDK 7.15
uses https for the REST API all the same, so give it a certificate and set
REQUESTS_CA_BUNDLE for the client):

* SASL ANONYMOUS, then ``$cbs`` put-token (any token is good);
* send; receive in PEEK_LOCK and RECEIVE_AND_DELETE; complete, abandon, defer,
  dead-letter; lock expiry, delivery count, dead-letter queue, TTL,
  scheduled messages;
* ``<queue>/$management``: renew-lock, peek, schedule, cancel-scheduled,
  update-disposition, receive-by-sequence-number;
* topics, whose subscriptions forward all to a queue (no rules, no receiving from them);
* REST: create, get (with counts), list, delete queues; create and delete topics and
  subscriptions; anything else is 404.

Not done: rules, sessions, transactions, authorisation.
"""

import select
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from proton.reactor import Container

from t.services.standins.servicebus_broker import Broker
from t.services.standins.servicebus_queues import LOCK, QUEUES, TOPICS, EntityQueue, iso_seconds

SB = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"


def describe(q):
    q.tick()
    active, dead, sched = len(q.ready) + len(q.locked), len(q.dead.ready), len(q.scheduled)
    active += len(q.deferred)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(q.created))
    c = 'xmlns:c="http://schemas.microsoft.com/netservices/2011/06/servicebus"'
    return (
        f'<entry xmlns="http://www.w3.org/2005/Atom"><id>sb://local/{escape(q.name)}</id>'
        f'<title type="text">{escape(q.name)}</title><published>{stamp}</published>'
        f'<updated>{stamp}</updated><content type="application/xml">'
        f'<QueueDescription xmlns="{SB}">{q.xml}'
        f"<SizeInBytes>0</SizeInBytes><MessageCount>{active + dead + sched}</MessageCount>"
        f"<CreatedAt>{stamp}</CreatedAt><UpdatedAt>{stamp}</UpdatedAt>"
        f"<AccessedAt>{stamp}</AccessedAt><CountDetails {c}>"
        f"<c:ActiveMessageCount>{active}</c:ActiveMessageCount>"
        f"<c:DeadLetterMessageCount>{dead}</c:DeadLetterMessageCount>"
        f"<c:ScheduledMessageCount>{sched}</c:ScheduledMessageCount>"
        "<c:TransferMessageCount>0</c:TransferMessageCount>"
        "<c:TransferDeadLetterMessageCount>0</c:TransferDeadLetterMessageCount>"
        "</CountDetails></QueueDescription></content></entry>"
    )


def content(kind, name, xml=""):
    """The entry of a topic or subscription."""
    return (
        f'<entry xmlns="http://www.w3.org/2005/Atom"><id>sb://local/{escape(name)}</id>'
        f'<title type="text">{escape(name)}</title><content type="application/xml">'
        f'<{kind} xmlns="{SB}">{xml}</{kind}></content></entry>'
    )


class Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, code, body):
        data = body.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/atom+xml;type=entry;charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, code, why):
        self.answer(code, f"<Error><Code>{code}</Code><Detail>{why}</Detail></Error>")

    def do_GET(self):
        url = urlsplit(self.path)
        name = unquote(url.path).strip("/")
        with LOCK:
            if name.lower() == "$resources/queues":
                opts = parse_qs(url.query)
                skip, top = (int(opts.get(k, [d])[0]) for k, d in (("$skip", 0), ("$top", 100)))
                rows = "".join(describe(q) for q in list(QUEUES.values())[skip : skip + top])
                self.answer(
                    200,
                    '<feed xmlns="http://www.w3.org/2005/Atom">'
                    f'<title type="text">Queues</title>{rows}</feed>',
                )
            elif q := QUEUES.get(name.lower()):
                self.answer(200, describe(q))
            else:
                self.fail(404, "No such entity")

    def do_PUT(self):
        name = unquote(urlsplit(self.path).path).strip("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with LOCK:
            if name.lower() in QUEUES and self.headers.get("If-Match") != "*":
                return self.fail(409, "SubCode=40900. Conflict. The entity exists.")
            desc = next(
                (e for e in ET.fromstring(body).iter() if e.tag.endswith("Description")), None
            )
            kind = "" if desc is None else desc.tag.rpartition("}")[2]
            if kind == "TopicDescription":
                return self.put_topic(name.lower())
            if kind == "SubscriptionDescription":
                return self.put_subscription(name.lower(), desc)
            if kind != "QueueDescription":
                return self.fail(400, "only queues, topics and subscriptions")
            opts = {e.tag.rpartition("}")[2]: e.text or "" for e in desc}
            xml = "".join(f"<{k}>{escape(v)}</{k}>" for k, v in opts.items() if v.strip())
            q = QUEUES[name.lower()] = EntityQueue(
                name,
                iso_seconds(opts.get("LockDuration"), 60),
                int(opts.get("MaxDeliveryCount") or 10),
                iso_seconds(opts.get("DefaultMessageTimeToLive"), 1e9),
                opts.get("DeadLetteringOnMessageExpiration") == "true",
                xml,
            )
            self.answer(201, describe(q))
        return None

    def put_topic(self, name):
        if name in TOPICS:
            return self.fail(409, "SubCode=40900. Conflict. The entity exists.")
        TOPICS[name] = {}
        return self.answer(201, content("TopicDescription", name))

    def put_subscription(self, path, desc):
        topic, _, name = path.partition("/subscriptions/")
        if topic not in TOPICS:
            return self.fail(404, "No such topic")
        if name in TOPICS[topic]:
            return self.fail(409, "SubCode=40900. Conflict. The entity exists.")
        target = next((e.text for e in desc if e.tag.endswith("}ForwardTo")), None) or ""
        TOPICS[topic][name] = urlsplit(target).path.strip("/") if "://" in target else target
        return self.answer(201, content("SubscriptionDescription", name))

    def do_DELETE(self):
        with LOCK:
            name = unquote(urlsplit(self.path).path).strip("/").lower()
            topic, _, subscription = name.partition("/subscriptions/")
            if subscription and topic in TOPICS:
                gone = TOPICS[topic].pop(subscription, None)
            else:
                gone = TOPICS.pop(name, None) if name in TOPICS else QUEUES.pop(name, None)
            if gone is not None:
                self.answer(200, "")
            else:
                self.fail(404, "No such entity")


# -------------------------------------------------------------- front door


def pipe(a, b):
    pair = {a: b, b: a}
    try:
        while True:
            hidden = [s for s in (a, b) if isinstance(s, ssl.SSLSocket) and s.pending()]
            for s in hidden or select.select([a, b], [], [])[0]:
                data = s.recv(65536)
                if not data:
                    return
                pair[s].sendall(data)
    except OSError:
        pass
    finally:
        a.close()
        b.close()


def front_door(listener, amqp_port, http_port, tls=None):
    own_port = listener.getsockname()[1]

    def route(sock):
        try:
            head = sock.recv(4, socket.MSG_PEEK)
            if head[:1] == b"\x16" and tls:
                # Look inside: splice to ourselves in the clear.
                sock, port = tls.wrap_socket(sock, server_side=True), own_port
            else:
                port = amqp_port if head == b"AMQP" else http_port
            peer = socket.create_connection(("127.0.0.1", port))
            for s in (sock, peer):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # ssl.SSLError too
            return sock.close()
        pipe(sock, peer)
        return None

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=route, args=(sock,), daemon=True).start()


def spare_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    port = int(sys.argv[1])
    rest = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    rest.daemon_threads = True
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    amqp = spare_port()
    listener = socket.create_server(("127.0.0.1", port))
    tls = None
    if len(sys.argv) > 3:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[2], sys.argv[3])
    threading.Thread(
        target=front_door, args=(listener, amqp, rest.server_port, tls), daemon=True
    ).start()
    print(f"READY {port}", flush=True)
    Container(Broker(amqp)).run()


if __name__ == "__main__":
    main()
