"""A stand-in for one Consul agent: the key/value store and sessions.

    python -m t.services.standins.consul PORT

No package registry has a Consul binary.  This keeps to the documented HTTP
API: KV with check-and-set, flags, recurse, keys, raw; locks by session
(acquire/release, lock-delay, TTL, behaviour release or delete); blocking
queries (index/wait, X-Consul-Index, deletions move the index too); txn with
KV verbs.  No catalog, health, ACL or cluster.
"""

import base64
import json
import re
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

CHANGED = threading.Condition()


def seconds(text, default):
    m = re.fullmatch(r"([\d.]+)(ms|s|m|h|)", text or "")
    if not m:
        return default
    return float(m[1]) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[m[2]]


class Store:
    """All calls are made with CHANGED held."""

    def __init__(self):
        self.index, self.kv, self.graves, self.sessions, self.delayed = 1, {}, {}, {}, {}
        self.reaped = 0

    def bump(self):
        self.index += 1
        CHANGED.notify_all()
        return self.index

    def index_of(self, prefix, recurse):
        def match(k):
            return k.startswith(prefix) if recurse else k == prefix

        hits = [e["ModifyIndex"] for k, e in self.kv.items() if match(k)]
        hits += [i for k, i in self.graves.items() if match(k)]
        # Of what was deleted long ago only this is known, as in the real one.
        return max([*hits, self.reaped]) if hits else self.index

    def bury(self, key):
        self.graves[key] = self.bump()
        if len(self.graves) > 1000:
            oldest = sorted(self.graves, key=self.graves.get)[:500]
            self.reaped = max(self.graves.pop(k) for k in oldest)

    def put(self, key, value, flags=0, cas=None, acquire=None, release=None):
        e = self.kv.get(key)
        if cas is not None and (e["ModifyIndex"] if e else 0) != cas:
            return False
        if acquire:
            if acquire not in self.sessions:
                raise KeyError(f'invalid session "{acquire}"')
            if e and e.get("Session") not in (None, acquire):
                return False
            if self.delayed.get(key, 0) > time.monotonic():
                return False
        if release and not (e and e.get("Session") == release):
            return False
        i = self.bump()
        new = {
            "LockIndex": e["LockIndex"] if e else 0,
            "Key": key,
            "Flags": flags,
            "Value": base64.b64encode(value).decode() if value else None,
            "CreateIndex": e["CreateIndex"] if e else i,
            "ModifyIndex": i,
        }
        if e and e.get("Session") and not release:
            new["Session"] = e["Session"]
        if acquire and new.get("Session") != acquire:
            new["Session"] = acquire
            new["LockIndex"] += 1
        self.kv[key] = new
        return True

    def delete(self, key, recurse=False, cas=None):
        if cas is not None:
            e = self.kv.get(key)
            # As the real one: a key that is not there counts as deleted.
            if not e or e["ModifyIndex"] != cas:
                return not e
        for k in [k for k in self.kv if (k.startswith(key) if recurse else k == key)]:
            del self.kv[k]
            self.bury(k)
        return True

    def end(self, sid):
        s = self.sessions.pop(sid, None)
        if s is None:
            return
        self.bump()
        for k, e in list(self.kv.items()):
            if e.get("Session") == sid:
                if s["LockDelay"]:
                    self.delayed[k] = time.monotonic() + s["LockDelay"] / 1e9
                if s["Behavior"] == "delete":
                    self.delete(k)
                else:
                    del e["Session"]
                    e["ModifyIndex"] = self.bump()

    def expire(self):
        for sid in [
            i for i, s in self.sessions.items() if s["_until"] and s["_until"] < time.monotonic()
        ]:
            self.end(sid)


STORE = Store()


class API(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One segment an answer: else each waits for the client's delayed acknowledgement.
    wbufsize = 65536
    disable_nagle_algorithm = True
    server_version = "Consul-stand-in"

    def log_message(self, *args):
        pass

    def answer(self, obj, code=200, index=None, raw=None):
        data = raw if raw is not None else json.dumps(obj).encode()
        self.send_response(code)
        self.send_header(
            "Content-Type", "application/json" if raw is None else "application/octet-stream"
        )
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Consul-Index", str(index or STORE.index))
        self.send_header("X-Consul-KnownLeader", "true")
        self.send_header("X-Consul-LastContact", "0")
        self.end_headers()
        self.wfile.write(data)

    def fail(self, code, text):
        self.answer(None, code, raw=text.encode())

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        opts = {k: v[-1] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        path = unquote(url.path)
        with CHANGED:
            if path.startswith("/v1/kv/"):
                return getattr(self, "kv_" + self.command)(path[7:], opts, body)
            what = path[4:].split("/")
            if what[0] == "session":
                return self.session(*what[1:3], opts=opts, body=body)
            if path == "/v1/txn":
                return self.txn(json.loads(body))
            if path == "/v1/agent/self":
                return self.answer(
                    {
                        "Config": {
                            "Datacenter": "dc1",
                            "NodeName": "stand-in",
                            "Version": "1.15.0",
                            "Server": True,
                        },
                        "Member": {"Name": "stand-in", "Addr": "127.0.0.1"},
                    }
                )
            if path == "/v1/status/leader":
                return self.answer("127.0.0.1:8300")
            if path == "/v1/status/peers":
                return self.answer(["127.0.0.1:8300"])
        self.fail(404, "not here")
        return None

    do_GET = do_PUT = do_DELETE = handle_any

    def kv_GET(self, key, opts, body):
        recurse = "recurse" in opts or "keys" in opts
        seen = int(opts.get("index") or 0)
        end = time.monotonic() + min(seconds(opts.get("wait"), 300), 600)
        while seen and STORE.index_of(key, recurse) <= seen:
            left = end - time.monotonic()
            if left <= 0:
                break
            CHANGED.wait(left)
        index = STORE.index_of(key, recurse)
        hits = [
            e for k, e in sorted(STORE.kv.items()) if (k.startswith(key) if recurse else k == key)
        ]
        if not hits:
            return self.answer(None, 404, index, raw=b"")
        if "raw" in opts:
            return self.answer(None, 200, index, raw=base64.b64decode(hits[0]["Value"] or ""))
        if "keys" in opts:
            sep, out = opts.get("separator", ""), []
            for e in hits:
                rest = e["Key"][len(key) :]
                k = key + rest.split(sep)[0] + sep if sep and sep in rest else e["Key"]
                if k not in out:
                    out.append(k)
            return self.answer(out, 200, index)
        self.answer(hits, 200, index)
        return None

    def kv_PUT(self, key, opts, body):
        if len(body) > 512 * 1024:
            return self.fail(413, "Value exceeds 524288 byte limit")
        STORE.expire()
        try:
            ok = STORE.put(
                key,
                body,
                int(opts.get("flags") or 0),
                int(opts["cas"]) if "cas" in opts else None,
                opts.get("acquire"),
                opts.get("release"),
            )
        except KeyError as exc:
            return self.fail(500, exc.args[0])
        self.answer(ok)
        return None

    def kv_DELETE(self, key, opts, body):
        self.answer(
            STORE.delete(key, "recurse" in opts, int(opts["cas"]) if "cas" in opts else None)
        )

    def session(self, verb, sid=None, opts=None, body=b""):
        STORE.expire()
        s = STORE.sessions.get(sid)
        if verb == "create":
            want = json.loads(body or b"{}")
            sid, ttl = str(uuid.uuid4()), want.get("TTL") or ""
            delay = want.get("LockDelay", 15)
            if isinstance(delay, str):
                delay = seconds(delay, 15)
            elif delay > 1e6:
                delay /= 1e9
            i = STORE.bump()
            STORE.sessions[sid] = {
                "ID": sid,
                "Name": want.get("Name", ""),
                "Node": "stand-in",
                "TTL": ttl,
                "LockDelay": int(delay * 1e9),
                "Behavior": want.get("Behavior") or "release",
                "Checks": ["serfHealth"],
                "CreateIndex": i,
                "ModifyIndex": i,
                "_ttl": seconds(ttl, 0),
                "_until": time.monotonic() + seconds(ttl, 0) if ttl else 0,
            }
            return self.answer({"ID": sid})
        if verb == "renew":
            if s is None:
                return self.fail(404, f'Session id "{sid}" not found')
            if s["_ttl"]:
                s["_until"] = time.monotonic() + s["_ttl"]
        elif verb == "destroy":
            STORE.end(sid)
            return self.answer(True)
        shown = [s] if sid else list(STORE.sessions.values())
        self.answer([{k: v for k, v in x.items() if k[0] != "_"} for x in shown if x])
        return None

    def txn(self, ops):
        before = dict(STORE.kv)
        results, errors = [], []
        for n, op in enumerate(op["KV"] for op in ops):
            key, verb = op["Key"], op["Verb"]
            value = base64.b64decode(op.get("Value") or "")
            e = STORE.kv.get(key)
            if verb == "lock" and op.get("Session") not in STORE.sessions:
                errors.append({"OpIndex": n, "What": f'invalid session "{op.get("Session")}"'})
                continue
            if verb in ("set", "cas", "lock", "unlock"):
                ok = STORE.put(
                    key,
                    value,
                    op.get("Flags", 0),
                    op.get("Index") if verb == "cas" else None,
                    op.get("Session") if verb == "lock" else None,
                    op.get("Session") if verb == "unlock" else None,
                )
            elif verb in ("delete", "delete-tree", "delete-cas"):
                ok = STORE.delete(
                    key, verb == "delete-tree", op.get("Index") if verb == "delete-cas" else None
                )
            else:
                ok = {
                    "get": bool(e),
                    "check-not-exists": not e,
                    "check-index": bool(e) and e["ModifyIndex"] == op.get("Index"),
                    "check-session": bool(e) and e.get("Session") == op.get("Session"),
                }[verb]
            if not ok:
                errors.append({"OpIndex": n, "What": f"{verb} failed on {key}"})
            elif key in STORE.kv:
                entry = dict(STORE.kv[key])
                if verb != "get":
                    entry["Value"] = None
                results.append({"KV": entry})
        if errors:
            STORE.kv = before
            return self.answer({"Results": None, "Errors": errors}, 409)
        self.answer({"Results": results, "Errors": None})
        return None


def sweep():
    while True:
        time.sleep(0.2)
        with CHANGED:
            STORE.expire()


if __name__ == "__main__":
    threading.Thread(target=sweep, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), API)
    server.daemon_threads = True
    print("READY", flush=True)
    server.serve_forever()
