"""RabbitMQ, one node or three."""

from __future__ import annotations

import json
import os

from t.services.processes import HOST, free_port
from t.services.programs import call, need, which
from t.services.readiness import http_ready, tcp_ready
from t.services.service import Service
from t.services.tls import make_tls

RABBIT_BIN = "/usr/lib/rabbitmq/bin"


class RabbitMQ(Service):
    name = "rabbitmq"
    doc = "RabbitMQ node: AMQP 0-9-1 + 1.0, TLS, management, MQTT, STOMP"
    apt = ("rabbitmq-server", "openssl")
    timeout = 90
    grace = 0  # graceful stop takes 7 s and the data is thrown away
    plugins = (
        "rabbitmq_management",
        "rabbitmq_amqp1_0",
        "rabbitmq_event_exchange",
        "rabbitmq_consistent_hash_exchange",
        "rabbitmq_auth_mechanism_ssl",
    )

    def missing(self):
        # /usr/sbin/rabbitmq-server insists on the user rabbitmq; this one does not.
        return need(
            rabbitmq_server=which(f"{RABBIT_BIN}/rabbitmq-server"),
            epmd=which("epmd"),
            openssl=which("openssl"),
        )

    def epmd(self):
        """Our own port mapper: the node would start a daemon that outlives it."""
        self.epmd_port = free_port()
        self.spawn("epmd", ["epmd", "-address", HOST, "-port", self.epmd_port])
        self.wait(tcp_ready(self.epmd_port), "epmd")

    def node_env(self, node, dist_port):
        home = self.path(node)
        return {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": f"{node}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.path(node, "mnesia")),
            "RABBITMQ_LOG_BASE": str(self.path(node, "log")),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-env.conf"),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2"
            ),
        }

    def node(self, node, extra="", plugins=None):
        """Spawn one node; returns (env, amqp port, management port)."""
        amqp, mgmt, dist = free_port(), free_port(), free_port()
        env = self.node_env(node, dist)
        cookie = self.dir / node / ".erlang.cookie"
        cookie.write_text("TESTSERVICES")
        cookie.chmod(0o400)
        self.write(
            f"{node}/rabbitmq.conf",
            f"""\
listeners.tcp.1 = {HOST}:{amqp}
management.tcp.ip = {HOST}
management.tcp.port = {mgmt}
loopback_users = none
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
collect_statistics_interval = 1000
{extra}""",
        )
        self.write(
            f"{node}/enabled_plugins",
            f"[{','.join(self.plugins if plugins is None else plugins)}].\n",
        )
        self.spawn(node, [f"{RABBIT_BIN}/rabbitmq-server"], env=env)
        return env, amqp, mgmt

    def ctl(self, env, *args, tool="rabbitmqctl"):
        return call(
            [f"{RABBIT_BIN}/{tool}", "-n", env["RABBITMQ_NODENAME"], *args],
            env={**os.environ, **env},
        )

    def start(self):
        tls = make_tls(self.dir / "tls")
        self.epmd()
        tls_port = free_port()
        env, amqp, mgmt = self.node(
            "rabbit",
            f"""\
listeners.ssl.1 = {HOST}:{tls_port}
ssl_options.cacertfile = {tls["ca"]}
ssl_options.certfile = {tls["cert"]}
ssl_options.keyfile = {tls["key"]}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
ssl_cert_login_from = common_name
""",
        )
        # The node takes connections before it is fully up, but answers the
        # protocol header only with its plugins started; check both listeners.
        self.wait(tcp_ready(amqp, b"AMQP\0\0\x09\1", b"version"), "no AMQP")
        self.wait(http_ready(f"http://{HOST}:{mgmt}/api/overview", (401,)), "no management")
        return {
            "RABBITMQ_URL": f"amqp://guest:guest@{HOST}:{amqp}//",
            "RABBITMQ_TLS_URL": f"amqps://guest:guest@localhost:{tls_port}//",
            "RABBITMQ_TLS_CA": tls["ca"],
            "RABBITMQ_TLS_CERT": tls["client_cert"],
            "RABBITMQ_TLS_KEY": tls["client_key"],
            "RABBITMQ_MANAGEMENT_URL": f"http://guest:guest@{HOST}:{mgmt}",
            "RABBITMQ_AMQP10_URL": f"amqp://guest:guest@{HOST}:{amqp}",
            "RABBITMQ_NODENAME": env["RABBITMQ_NODENAME"],
            "RABBITMQ_HOME": env["HOME"],
            "ERL_EPMD_PORT": env["ERL_EPMD_PORT"],
        }


class RabbitMQCluster(RabbitMQ):
    name = "rabbitmq-cluster"
    doc = "three clustered RabbitMQ nodes (quorum queues, failover)"
    timeout = 120

    def start(self):
        self.epmd()
        names = ["r1", "r2", "r3"]
        extra = "".join(
            f"cluster_formation.classic_config.nodes.{i} = {n}@localhost\n"
            for i, n in enumerate(names, 1)
        )
        extra = (
            "cluster_formation.peer_discovery_backend = classic_config\n"
            + extra
            + "cluster_partition_handling = pause_minority\n"
        )
        # Peer discovery races when all boot at once: the first node forms the
        # cluster, then the others join it side by side.
        nodes = [self.node("r1", extra, ("rabbitmq_management",))]
        up = tcp_ready(nodes[0][1], b"AMQP\0\0\x09\1", b"version")
        self.wait(up, "no AMQP on r1")
        nodes += [self.node(n, extra, ("rabbitmq_management_agent",)) for n in names[1:]]
        for n, (_, port, _) in zip(names, nodes, strict=True):
            self.wait(tcp_ready(port, b"AMQP\0\0\x09\1", b"version"), f"no AMQP on {n}")
        self.wait(
            lambda: (
                json.loads(self.ctl(nodes[0][0], "cluster_status", "--formatter", "json"))[
                    "running_nodes"
                ].__len__()
                == 3
            ),
            "no cluster of three",
        )
        urls = [f"amqp://guest:guest@{HOST}:{port}//" for _, port, _ in nodes]
        return {
            "RABBITMQ_CLUSTER_URL": ";".join(urls),
            "RABBITMQ_CLUSTER_MANAGEMENT_URL": f"http://guest:guest@{HOST}:{nodes[0][2]}",
            "RABBITMQ_CLUSTER_PIDS": ",".join(
                str(p["pid"]) for p in self.procs if p["label"] != "epmd"
            ),
        }
