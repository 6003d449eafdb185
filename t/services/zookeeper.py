"""ZooKeeper, standalone or an ensemble."""

from __future__ import annotations

import glob

from t.services.processes import HOST, free_port, kill_group
from t.services.programs import need, which
from t.services.readiness import tcp_ready
from t.services.service import Service

LEADER = b"Mode: leader"


class ZooKeeper(Service):
    name = "zookeeper"
    doc = "ZooKeeper, standalone"
    apt = ("zookeeper", "default-jre-headless")
    grace = 0
    # Not /etc/zookeeper/conf: its log4j.properties writes to /var/log/zookeeper.
    jars = "/usr/share/java/zookeeper.jar"

    def missing(self):
        return need(java=which("java"), zookeeper=glob.glob(self.jars))

    def jvm(self, label, cfg, main="org.apache.zookeeper.server.quorum.QuorumPeerMain"):
        d = self.path(label)
        self.write(
            f"{label}/log4j.properties",
            "log4j.rootLogger=INFO, CONSOLE\n"
            "log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %-5p %c{1} - %m%n\n",
        )
        conf = self.write(f"{label}/zoo.cfg", cfg)
        self.spawn(
            label,
            [
                "java",
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
                "-Dzookeeper.admin.enableServer=false",
                "-Dzookeeper.jmx.log4j.disable=true",
                f"-Dlog4j.configuration=file:{d}/log4j.properties",
                "-cp",
                f"{d}:{self.jars}:/usr/share/java/*",
                main,
                conf,
            ],
        )

    def ready(self, port, mode=b"Mode: "):
        self.wait(tcp_ready(port, b"srvr", mode), f"no {mode!r} on {port}")

    def start(self):
        port = free_port()
        self.jvm(
            "zk",
            f"dataDir={self.path('data')}\nclientPort={port}\n"
            f"clientPortAddress={HOST}\ntickTime=500\nmaxClientCnxns=0\n"
            "4lw.commands.whitelist=*\n",
        )
        self.ready(port, b"Mode: standalone")
        return {"ZOOKEEPER_URL": f"zookeeper://{HOST}:{port}", "ZOOKEEPER_HOSTS": f"{HOST}:{port}"}


class ZooKeeperEnsemble(ZooKeeper):
    name = "zookeeper-ensemble"
    doc = "three ZooKeeper servers in a quorum"

    def start(self):
        peers = [(i, free_port(), free_port(), free_port()) for i in (1, 2, 3)]
        servers = "".join(f"server.{i}={HOST}:{q}:{e}\n" for i, _, q, e in peers)
        for i, client, _, _ in peers:
            self.path(f"data{i}")
            self.write(f"data{i}/myid", str(i))
            self.jvm(
                f"zk{i}",
                f"dataDir={self.dir}/data{i}\nclientPort={client}\n"
                f"clientPortAddress={HOST}\ntickTime=500\ninitLimit=20\nsyncLimit=10\n"
                f"maxClientCnxns=0\n4lw.commands.whitelist=*\n{servers}",
            )
        for _, client, _, _ in peers:
            self.ready(client)
        self.clients = {f"zk{i}": client for i, client, _, _ in peers}
        hosts = [f"{HOST}:{c}" for _, c, _, _ in peers]
        return {
            "ZOOKEEPER_ENSEMBLE_URL": f"zookeeper://{hosts[0]}",
            "ZOOKEEPER_ENSEMBLE_HOSTS": ",".join(hosts),
        }

    def kill_leader(self):
        """SIGKILL for the leader; returns once the others elected one and it is back, too."""
        leads = (p for p in self.procs if tcp_ready(self.clients[p["label"]], b"srvr", LEADER)())
        leader = next(leads)
        kill_group(leader, 0)
        self.procs.remove(leader)  # nobody shall wonder that it is dead
        others = [self.clients[proc["label"]] for proc in self.procs]
        self._ready(lambda: any(tcp_ready(p, b"srvr", LEADER)() for p in others), "no leader", 60)
        self.procs.append(leader)
        self._launch(leader)
        self._ready(tcp_ready(self.clients[leader["label"]], b"srvr", b"Mode: "), "not back", 60)
