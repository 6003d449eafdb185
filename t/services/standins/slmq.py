"""A stand-in for SoftLayer Message Queue, a service that is gone.

    python -m t.services.standins.slmq PORT [CERT KEY]

Speaks what the last client (PyPI softlayer_messaging 1.0.3) speaks:
``POST /v1/ACCOUNT/auth`` with X-Auth-User and X-Auth-Key answers X-Auth-Token;
``/v1/ACCOUNT/queues[/NAME[/messages[/ID]]]`` and the same for topics with
``/subscriptions``; JSON bodies; errors are {"message", "errors"}.  A popped
message is hidden for the queue's visibility_timeout and comes back unless it
is deleted by its id.
"""

import json
import ssl
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LOCK = threading.Lock()
TOKENS: set = set()
ACCOUNTS: dict = {}


class SLQueue:
    def __init__(self, name, opts):
        self.name, self.opts = (
            name,
            {"visibility_timeout": 30, "expiration": 604800, "tags": [], **opts},
        )
        self.messages: list = []

    def tick(self):
        t = time.time()
        self.messages = [m for m in self.messages if m["_expires"] > t]

    def push(self, item):
        t = time.time()
        m = {
            "id": uuid.uuid4().hex,
            "body": item.get("body", ""),
            "fields": item.get("fields", {}),
            "initial_entry_time": t,
            "visibility_delay": item.get("visibility_delay", 0),
            "_from": t + item.get("visibility_delay", 0),
            "_expires": t + self.opts["expiration"],
        }
        self.messages.append(m)
        return shown(m)

    def pop(self, n):
        self.tick()
        t, got = time.time(), []
        for m in self.messages:
            if m["_from"] <= t and len(got) < n:
                m["_from"] = t + self.opts["visibility_timeout"]
                got.append(shown(m))
        return {"item_count": len(got), "items": got}

    def detail(self):
        self.tick()
        t = time.time()
        return {
            "name": self.name,
            **self.opts,
            "message_count": len(self.messages),
            "visible_message_count": sum(m["_from"] <= t for m in self.messages),
        }


def shown(m):
    return {k: v for k, v in m.items() if k[0] != "_"}


class Account:
    def __init__(self):
        self.queues, self.topics = {}, {}


class API(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One segment an answer: else each waits for the client's delayed acknowledgement.
    wbufsize = 65536
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, obj, code=200, **headers):
        data = json.dumps(obj).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        self.wfile.write(data)

    def fail(self, code, text):
        self.answer({"message": text, "errors": {}}, code)

    def handle_any(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        parts = [unquote(p) for p in url.path.strip("/").split("/")]
        opts = {k: v[-1] for k, v in parse_qs(url.query).items()}
        try:
            body = json.loads(data or b"{}")
        except ValueError:
            return self.fail(400, "Bad Request")
        with LOCK:
            if parts[:2] == ["v1", "ping"]:
                return self.answer("OK")
            if len(parts) < 3 or parts[0] != "v1":
                return self.fail(404, "Not Found")
            if parts[2] == "auth":
                if not self.headers.get("X-Auth-User") or not self.headers.get("X-Auth-Key"):
                    return self.fail(401, "Unauthorized")
                token = uuid.uuid4().hex
                TOKENS.add(token)
                return self.answer({"status": "OK", "token": token}, X_Auth_Token=token)
            if self.headers.get("X-Auth-Token") not in TOKENS:
                return self.fail(401, "Unauthorized")
            self.route(
                ACCOUNTS.setdefault(parts[1], Account()), self.command, parts[2:], opts, body
            )
        return None

    do_GET = do_PUT = do_POST = do_DELETE = handle_any

    def route(self, account, verb, parts, opts, body):
        kind, name, sub, key = (parts + [None] * 4)[:4]
        box = {"queues": account.queues, "topics": account.topics}.get(kind)
        if box is None:
            return (
                self.answer({"requests": [], "notifications": []})
                if kind == "stats"
                else self.fail(404, "Not Found")
            )
        if name is None:
            tags = set(filter(None, opts.get("tags", "").split(",")))
            items = [x.detail() for x in box.values() if not tags or tags & set(x.opts["tags"])]
            return self.answer({"item_count": len(items), "items": items})
        if verb == "PUT":
            if name in box:
                box[name].opts.update(body)
                return self.answer({"message": "Object updated"})
            box[name] = SLQueue(name, body)
            box[name].subscriptions = {}
            return self.answer({"message": "Object created"}, 201)
        q = box.get(name)
        if q is None:
            return self.fail(404, "Queue not found" if kind == "queues" else "Topic not found")
        if sub is None:
            if verb == "DELETE":
                if q.detail()["message_count"] and "force" not in opts:
                    return self.fail(409, "Object is not empty")
                del box[name]
                return self.answer({"message": "Object queued for deletion"}, 202)
            return self.answer(q.detail())
        if sub == "subscriptions":
            if verb == "POST":
                sid = uuid.uuid4().hex
                q.subscriptions[sid] = {"id": sid, **body}
                return self.answer({"message": "Object created", "id": sid}, 201)
            if verb == "DELETE":
                q.subscriptions.pop(key, None)
                return self.answer({"message": "Object queued for deletion"}, 202)
            items = list(q.subscriptions.values())
            return self.answer({"item_count": len(items), "items": items})
        if verb == "POST":
            if kind == "topics":
                for s in q.subscriptions.values():
                    target = account.queues.get(s["endpoint"].get("queue_name"))
                    if target:
                        target.push(body)
                return self.answer({"message": "Object created", "id": uuid.uuid4().hex}, 201)
            return self.answer({"message": "Object created", **q.push(body)}, 201)
        if verb == "DELETE":
            n = len(q.messages)
            q.messages = [m for m in q.messages if m["id"] != key]
            return (
                self.answer({"message": "Object queued for deletion"}, 202)
                if len(q.messages) < n
                else self.fail(404, "Message not found")
            )
        self.answer(q.pop(min(100, int(opts.get("batch", 1)))))
        return None


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), API)
    server.daemon_threads = True
    if len(sys.argv) > 3:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    print("READY", flush=True)
    server.serve_forever()
