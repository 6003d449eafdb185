"""The main job, with real processes and no server: ``make demo``.

Two producers send orders (direct), events (topic), news (fanout) and alarms (priorities)
through a broker that is a folder. Three consumers share the work. One of them is killed with
SIGKILL while it holds messages; they come back to the others. Then everything is counted, and
the exit status says whether anything was lost.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kombu import Connection, Exchange, Queue

PRODUCERS, CONSUMERS = 2, 3
HANDLING = 0.001  # seconds of work per message

orders = Exchange("orders", type="direct")
events = Exchange("events", type="topic")
news = Exchange("news", type="fanout")
alarms = Exchange("alarms", type="direct")

QUEUES = [
    Queue("alarms", alarms, routing_key="alarm", max_priority=9),
    Queue("orders", orders, routing_key="order"),
    Queue("events.europe", events, routing_key="*.eu.#"),
    Queue("events.errors", events, routing_key="#.error"),
    Queue("news.mail", news),
    Queue("news.phone", news),
]


class Kind(NamedTuple):
    """One kind of message: who gets it."""

    exchange: Exchange
    routing_key: str
    queues: tuple[str, ...]
    priority: int = 0


#: What a producer sends in turn.
TURN = [
    Kind(orders, "order", ("orders",)),
    Kind(events, "shop.eu.sold", ("events.europe",)),
    Kind(events, "shop.eu.madrid.error", ("events.europe", "events.errors")),
    Kind(news, "", ("news.mail", "news.phone")),
    Kind(alarms, "alarm", ("alarms",), 9),
    Kind(alarms, "alarm", ("alarms",), 0),
]


def connect(folder: Path) -> Any:
    """A connection to the broker in this folder."""
    return Connection(
        "filesystem://",
        transport_options={
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
        },
    )


# ---- the processes


def produce(folder: Path, name: str, count: int) -> None:
    """Send ``count`` messages, and write down what was confirmed."""
    with connect(folder) as connection, open(folder / f"sent-{name}", "w") as log:
        producer = connection.Producer()
        for number in range(count):
            kind = TURN[number % len(TURN)]
            identity = f"{name}-{number}"
            producer.publish(
                {"id": identity, "at": time.time(), "priority": kind.priority},
                exchange=kind.exchange,
                routing_key=kind.routing_key,
                priority=kind.priority,
            )
            print(json.dumps([identity, kind.queues]), file=log, flush=True)


def consume(folder: Path, name: str) -> None:
    """Handle messages until the parent says it is enough; write each down before its ack."""
    with (
        connect(folder) as connection,
        open(folder / f"received-{name}", "wb", buffering=0) as log,
    ):

        def handle(queue: str, body: dict[str, Any], message: Any) -> None:
            time.sleep(HANDLING)
            record = [
                body["id"],
                queue,
                bool(message.delivery_info.get("redelivered")),
                body["priority"],
                time.time() - body["at"],
            ]
            log.write(json.dumps(record).encode() + b"\n")
            message.ack()

        channel = connection.default_channel
        channel.basic_qos(0, 20, False)
        for queue in QUEUES:
            channel.Consumer([queue], callbacks=[partial(handle, queue.name)]).consume()
        while not (folder / "stop").exists():
            try:
                connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue


# ---- what is seen of them


class Log:
    """Reads on in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def news(self) -> Iterator[Any]:
        """Lines that are complete and were not read yet."""
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if line.endswith(b"\n"):
                    self._offset += len(line)
                    yield json.loads(line)


class Progress:
    """A bar in a terminal, a line for every tenth elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._tenth = 0
        self._live = sys.stdout.isatty()
        self._width = min(shutil.get_terminal_size().columns - 34, 60)
        self._shown = ""

    def show(self, done: int) -> None:
        """Draw how many are done."""
        share = done / self._total
        if self._live:
            blocks = "█" * int(share * self._width)
            bar = f"  {blocks:░<{self._width}} {done:>6,} / {self._total:,}"
            if bar != self._shown:
                self._shown = bar
                print(f"\r{bar}", end="", flush=True)
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            print(f"  {self._tenth * 10:>3} %  {done:,} of {self._total:,} delivered", flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._live:
            print(f"\r{' ' * (self._width + 33)}\r", end="")
            self._shown = ""
        print(f"  {text}", flush=True)

    def end(self) -> None:
        if self._live:
            print()


class Demo:
    """Starts the processes, kills one, and counts.

    Arguments:
        folder: for the broker and the logs.
        count: messages per producer.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count
        self.sent: set[tuple[str, str]] = set()
        self.received: Counter[tuple[str, str]] = Counter()
        self.redelivered: Counter[str] = Counter()
        self.waits: dict[int, list[float]] = defaultdict(list)
        self._sent_logs = [Log(folder / f"sent-p{n}") for n in range(PRODUCERS)]
        self._received_logs = [Log(folder / f"received-c{n}") for n in range(CONSUMERS)]
        self._processes: list[subprocess.Popen[bytes]] = []
        copies = [len(TURN[number % len(TURN)].queues) for number in range(count)]
        self.total = sum(copies) * PRODUCERS

    def run(self) -> int:
        """Whether nothing was lost, as an exit status."""
        (self.folder / "messages").mkdir()
        with connect(self.folder) as connection:
            for queue in QUEUES:
                queue(connection.default_channel).declare()
        begun = time.monotonic()
        progress = Progress(self.total)
        try:
            self._work(progress)
        finally:
            (self.folder / "stop").touch()
            for process in self._processes:
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        progress.end()
        return self._report(time.monotonic() - begun)

    def _work(self, progress: Progress) -> None:
        producers = [self._start("produce", f"p{n}", str(self.count)) for n in range(PRODUCERS)]
        consumers = [self._start("consume", f"c{n}") for n in range(CONSUMERS)]
        progress.say(f"{PRODUCERS} producers and {CONSUMERS} consumers at work")
        victim, last, since = consumers[1], -1, time.monotonic()
        while len(self.received) < self.total and time.monotonic() - since < 15:
            self._read()
            progress.show(len(self.received))
            if len(self.received) != last:
                last, since = len(self.received), time.monotonic()
            if victim.poll() is None and len(self.received) > self.total * 0.4:
                victim.kill()  # SIGKILL: it can't clean up
                victim.wait()
                progress.say(f"consumer 2 (pid {victim.pid}) killed with SIGKILL")
            if any(producer.poll() not in (None, 0) for producer in producers):
                break
            time.sleep(0.05)
        progress.show(len(self.received))

    def _start(self, role: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, __file__, "--role", role, str(self.folder), *arguments]
        self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return self._processes[-1]

    def _read(self) -> None:
        for log in self._sent_logs:
            for identity, queues in log.news():
                self.sent.update((identity, queue) for queue in queues)
        for log in self._received_logs:
            for identity, queue, redelivered, priority, waited in log.news():
                self.received[identity, queue] += 1
                self.redelivered[queue] += redelivered
                if queue == "alarms":
                    self.waits[priority].append(waited)

    def _report(self, seconds: float) -> int:
        self._read()
        rows = []
        for queue in QUEUES:
            kind = "priority" if queue.max_priority else queue.exchange.type
            sent = {identity for identity, name in self.sent if name == queue.name}
            received = {identity for identity, name in self.received if name == queue.name}
            lost = len(sent - received)
            rows.append(
                (queue.name, kind, len(sent), len(received), self.redelivered[queue.name], lost)
            )
        sums = [sum(row[column] for row in rows) for column in range(2, 6)]
        print()
        print(f"  {'queue':<15} {'exchange':<9} {'sent':>7} {'received':>9}", end="")
        print(f" {'redelivered':>12} {'lost':>6}")
        line = "  " + "-" * 63
        print(line)
        for name, kind, *numbers in [*rows, ("", "", *sums)]:
            if not name:
                print(line)
            print(f"  {name:<15} {kind:<9} {numbers[0]:>7,} {numbers[1]:>9,}", end="")
            print(f" {numbers[2]:>12,} {numbers[3]:>6,}")
        print()
        mean = {priority: sum(times) / len(times) for priority, times in self.waits.items()}
        if {0, 9} <= mean.keys():
            print(f"  alarms of priority 9 waited {mean[9]:.2f} s, of priority 0 {mean[0]:.2f} s")
        complete = len(self.sent) == self.total
        good = sums[3] == 0 and complete
        if not complete:
            print(f"  only {len(self.sent):,} of {self.total:,} were sent")
        verdict = "nothing was lost" if good else "MESSAGES WERE LOST"
        print(f"  {verdict}, in {seconds:.1f} s with one consumer killed")
        return 0 if good else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2400, help="messages per producer")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        role, folder, name, *rest = given.role
        if role == "produce":
            produce(Path(folder), name, int(rest[0]))
        else:
            consume(Path(folder), name)
        return 0
    print("\nkombu: messages between processes, through a folder\n")
    with tempfile.TemporaryDirectory(prefix="kombu-demo-") as folder:
        return Demo(Path(folder), given.messages).run()


if __name__ == "__main__":
    sys.exit(main())
