"""The filesystem store against the store contract, and what is its own."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import (
    ChannelError,
    PreconditionFailed,
    RecoverableConnectionError,
    ResourceLocked,
)

from kombu.testing.conformance.store import OpenStore, StoreContract, envelope
from kombu.transport.filesystem.control import Control
from kombu.transport.filesystem.folders import Folder
from kombu.transport.filesystem.names import Clock, Name, parse
from kombu.transport.filesystem.queues import Queues
from kombu.transport.filesystem.store import FilesystemStore
from kombu.transport.filesystem.topology import FilesystemTopology
from kombu.transport.virtual.store import Claim, PartialPutError, Put, QueueSpec, Store


class Folders:
    """Opens stores on folders of their own."""

    def __init__(self, root: Path, make: bool = True) -> None:
        self.data = root / "data"
        self.control = root / "control"
        self.processed = root / "processed"
        if make:
            self.data.mkdir()
            self.processed.mkdir()
        self.clock = Clock()

    def open(self, processed: bool = False) -> FilesystemStore:
        return FilesystemStore(
            Folder(str(self.data), "data_folder_in"),
            Folder(str(self.data), "data_folder_out"),
            Queues(Control(str(self.control))),
            self.clock,
            lambda: 0.5,
            str(self.processed) if processed else None,
        )

    def files(self) -> list[str]:
        return sorted(path.name for path in self.data.iterdir() if path.is_file())


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


class TestContract(StoreContract):
    @pytest.fixture
    def open_store(self, folders: Folders) -> OpenStore:
        def open_one() -> Store:
            return folders.open()

        return open_one


def put(store: Store, *texts: str, **options: Any) -> None:
    store.put([Put("q", envelope(text), **options) for text in texts])


class TestFiles:
    def test_names_are_those_of_5_7(self, folders: Folders) -> None:
        put(folders.open(), "a", priority=9, expires_at=time.time() + 60)
        (file,) = folders.files()
        shape = r"\d+_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.q\.msg"
        assert re.fullmatch(shape, file)

    def test_file_order_is_the_order_of_publishing(self, folders: Folders) -> None:
        put(folders.open(), *(str(number) for number in range(500)))
        bodies = [json.loads((folders.data / f).read_text())["body"] for f in folders.files()]
        assert bodies == [str(number) for number in range(500)]

    def test_acknowledged_files_are_kept_on_demand(self, folders: Folders) -> None:
        store = folders.open(processed=True)
        put(store, "a")
        (file,) = folders.files()
        store.settle(acks=store.claim(["q"], 1))
        assert [path.name for path in folders.processed.iterdir()] == [file]
        assert folders.files() == []

    def test_missing_folder_is_named(self, folders: Folders) -> None:
        folders.data.rmdir()
        with pytest.raises(RecoverableConnectionError, match=r"data_folder_in.*data"):
            folders.open()

    @pytest.mark.parametrize("queue", ["a/b", "", "x" * 300, "a\0b"])
    def test_queue_that_cannot_be_a_file(self, folders: Folders, queue: str) -> None:
        with pytest.raises(PreconditionFailed, match="file name"):
            folders.open().put([Put(queue, envelope("a"))])
        assert folders.files() == []


class TestForeignFiles:
    @pytest.mark.parametrize("content", [b"", b'{"body": "ha', b"[1]", b"{}", b"\xff\xfe"])
    def test_what_is_no_message_is_moved_aside(
        self, folders: Folders, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = folders.open()
        put(store, "before")
        bad = folders.data / "99_0.q.msg"
        bad.write_bytes(content)
        os.utime(bad, (time.time() - 60,) * 2)
        put(store, "after")
        claims = store.claim(["q"], 5)
        assert [claim.message["body"] for claim in claims] == ["before", "after"]
        aside = folders.data / ".kombu" / "quarantine" / bad.name
        assert aside.read_bytes() == content
        assert bad.name in caplog.text

    def test_a_file_that_is_being_written_is_waited_for(self, folders: Folders) -> None:
        store = folders.open()
        text = json.dumps(envelope("slow"))
        unfinished = folders.data / "99_0.q.msg"
        unfinished.write_text(text[:20])
        assert store.claim(["q"], 1) == []
        unfinished.write_text(text)
        assert store.wait(["q"], 5)
        assert [claim.message["body"] for claim in store.claim(["q"], 1)] == ["slow"]

    def test_other_files_are_left_alone(self, folders: Folders) -> None:
        (folders.data / "notes.txt").write_text("mine")
        (folders.data / "folder").mkdir()
        store = folders.open()
        assert store.claim(["q", "notes"], 5) == []
        assert (folders.data / "notes.txt").read_text() == "mine"

    def test_unreadable_exchange_table_is_named(self, folders: Folders) -> None:
        control = Control(str(folders.control))
        topology = FilesystemTopology(control, Queues(control))
        topology.bind("ex", "k", "", "q")
        (folders.control / "ex.exchange").write_text('[["k", "", ')
        with pytest.raises(ChannelError, match="'ex'"):
            topology.bindings("ex")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, as Linux has it")
class TestFullDisk:
    def test_nothing_half_written_is_seen(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = folders.open()
        put(store, "fits")
        monkeypatch.setattr(os, "open", full_disk(os.open))
        with pytest.raises(ChannelError, match=r"queue 'q'.*No space left"):
            put(store, "one")
        with pytest.raises(PartialPutError) as caught:
            put(store, "one", "two")
        monkeypatch.undo()
        assert sorted(caught.value.failed) == [0, 1]
        assert [claim.message["body"] for claim in store.claim(["q"], 5)] == ["fits"]
        assert list((folders.data / ".kombu" / "writing").iterdir()) == []

    def test_held_messages_still_return(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = folders.open()
        put(store, "a", "b")
        claims = store.claim(["q"], 2)
        monkeypatch.setattr(os, "open", full_disk(os.open))
        store.settle(releases=claims)
        monkeypatch.undo()
        assert [claim.message["body"] for claim in store.claim(["q"], 5)] == ["a", "b"]


def full_disk(real: Any) -> Any:
    """``os.open`` on a disk without room: what is written goes to /dev/full."""

    def open(path: Any, flags: int, *options: Any, **more: Any) -> int:
        if flags & os.O_EXCL:
            os.close(real(path, flags, *options, **more))
            return int(real("/dev/full", os.O_WRONLY))
        return int(real(path, flags, *options, **more))

    return open


class TestFailures:
    """A file system that fails for a moment keeps no message from anybody."""

    def test_what_cannot_be_read_now_is_read_later(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = folders.open()
        store.put([Put("q", envelope("a"))])
        with monkeypatch.context() as patched:
            patched.setattr("kombu.transport.filesystem.files.read", fail_with(errno.EMFILE))
            with pytest.raises(RecoverableConnectionError, match="Too many open files"):
                store.claim(["q"], 1)
        (claim,) = store.claim(["q"], 1)
        assert claim.message["body"] == "a"

    def test_what_cannot_be_given_back_now_is_given_back_later(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = folders.open()
        store.put([Put("q", envelope("a")), Put("q", envelope("b"))])
        claims = store.claim(["q"], 2)
        with monkeypatch.context() as patched:
            patched.setattr("kombu.transport.filesystem.files.read", fail_with(errno.EMFILE))
            with pytest.raises(RecoverableConnectionError, match="Too many open files"):
                store.settle(releases=claims)
        store.settle(releases=claims)
        assert [each.message["body"] for each in store.claim(["q"], 2)] == ["a", "b"]


def fail_with(number: int) -> Any:
    def fail(path: str) -> Any:
        raise OSError(number, os.strerror(number), path)

    return fail


class TestWriting:
    def test_a_disk_that_takes_a_part_is_given_the_rest(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = folders.open()
        real = os.write
        monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:7]))
        put(store, "whole" * 20)
        monkeypatch.undo()
        assert [claim.message["body"] for claim in store.claim(["q"], 5)] == ["whole" * 20]

    def test_fsync_on_demand(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = Folder(str(folders.data), "data_folder_out", fsync=True)
        folder.prepare()
        sizes: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
        folder.write(folder.path_of("1_a.q.msg"), b"12345")
        assert sizes == [5]


def test_a_time_too_late_for_a_name_is_late() -> None:
    assert (Clock().name("q", 0, 1e15).expires_at or 0) > 4e9


def test_a_name_made_is_the_name_read() -> None:
    clock = Clock()
    for name in (
        clock.name("q"),
        clock.name("a.b@c d", 9, 1_790_000_000.1234),
        clock.name("later", 3).at(1_790_000_000_001),
    ):
        assert parse(name.file) == name


class TestDeath:
    def test_messages_of_a_killed_process_return_in_order(self, folders: Folders) -> None:
        store = folders.open()
        put(store, *"abcde")
        code = f"""
import os, signal
from pathlib import Path
from t.unit.transport.filesystem.test_store import Folders
folders = Folders(Path({str(folders.data.parent)!r}), make=False)
assert len(folders.open().claim(["q"], 3)) == 3
os.kill(os.getpid(), signal.SIGKILL)
"""
        subprocess.run([sys.executable, "-c", code], timeout=30, cwd=Path(__file__).parents[4])
        begun = time.monotonic()
        claims: list[Claim] = []
        while len(claims) < 5 and time.monotonic() - begun < 5:
            store.wait(["q"], 1)
            claims += store.claim(["q"], 5) if store.size("q") == 5 else []
        assert time.monotonic() - begun < 3
        assert [claim.message["body"] for claim in claims] == [*"abcde"]
        assert [claim.redelivered for claim in claims] == [True, True, True, False, False]
        assert [claim.deliveries for claim in claims] == [1, 1, 1, 0, 0]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_leaves_the_parents_claims(self, folders: Folders) -> None:
        store = folders.open()
        put(store, *"ab")
        claims = store.claim(["q"], 1)
        child = os.fork()
        if child == 0:
            try:
                assert store.claim(["q"], 5)[0].message["body"] == "b"
                store.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        again = store.claim(["q"], 5)
        assert [claim.message["body"] for claim in again] == ["b"]
        store.settle(acks=[*claims, *again])
        assert store.size("q") == 0


class TestExclusive:
    def declare_elsewhere(self, folders: Folders, then: str) -> subprocess.Popen[str]:
        code = f"""
import os, signal, sys
from pathlib import Path
from kombu.transport.virtual.store import QueueSpec
from t.unit.transport.filesystem.test_store import Folders, put
store = Folders(Path({str(folders.data.parent)!r}), make=False).open()
store.declare(QueueSpec("q", exclusive=True))
put(store, "theirs")
print("ready", flush=True)
{then}
"""
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def test_a_queue_of_another_process_is_locked(self, folders: Folders) -> None:
        process = self.declare_elsewhere(folders, "sys.stdin.read()")
        with pytest.raises(ResourceLocked, match="'q'"):
            folders.open().declare(QueueSpec("q"))
        process.communicate("", timeout=10)

    def test_a_queue_of_a_dead_process_goes_with_it(self, folders: Folders) -> None:
        self.declare_elsewhere(folders, "os.kill(os.getpid(), signal.SIGKILL)").wait(10)
        store = folders.open()
        store.declare(QueueSpec("q"))
        assert store.size("q") == 0

    def test_a_queue_of_a_dead_process_goes_by_itself(self, folders: Folders) -> None:
        self.declare_elsewhere(folders, "os.kill(os.getpid(), signal.SIGKILL)").wait(10)
        store, gone = folders.open(), []
        store.bury = gone.append
        deadline = time.monotonic() + 10
        while store.exists("q"):
            assert time.monotonic() < deadline
            store.wait(["other"], 0.1)
        assert gone == ["q"]


class TestCost:
    def test_ten_thousand_waiting_messages(self, folders: Folders) -> None:
        store = folders.open()
        put(store, *(str(number) for number in range(10_000)))
        other = folders.open()
        begun = time.process_time()
        for number in range(500):
            (claim,) = other.claim(["q"], 1)
            assert claim.message["body"] == str(number)
            other.settle(acks=[claim])
        # A listing for every message would take 10 times as long.
        assert time.process_time() - begun < 1.5

    def test_waking_is_prompt(self, folders: Folders) -> None:
        waiting, putting = folders.open(), folders.open()
        delays = []
        for _ in range(20):
            woken: list[float] = []

            def sleep(woken: list[float] = woken) -> None:
                while not waiting.size("q"):
                    waiting.wait(["q"], 5)
                woken.append(time.monotonic())

            thread = threading.Thread(target=sleep)
            thread.start()
            sent = time.monotonic()
            put(putting, "a")
            thread.join(10)
            delays.append(woken[0] - sent)
            waiting.settle(acks=waiting.claim(["q"], 1))
        assert statistics.median(delays) < 0.05

    def test_waiting_costs_no_processor_time(self, folders: Folders) -> None:
        store = folders.open()
        store.wait(["q"], 1.0)  # the back-off has grown
        begun = time.process_time()
        store.wait(["q"], 3.0)
        assert time.process_time() - begun < 0.03


class TestGrowth:
    """What others took, or time has not come for, is not remembered one by one."""

    @staticmethod
    def names() -> int:
        gc.collect()
        return sum(type(each) is Name for each in gc.get_objects())

    def test_who_only_publishes(self, folders: Folders) -> None:
        publishing, consuming = folders.open(), folders.open()
        publishing.wait([], 0)  # it may have consumed before
        before = self.names()
        for _ in range(30):
            publishing.put([Put("q", envelope("x")) for _ in range(100)])
            consuming.settle(acks=consuming.claim(["q"], 100))
        assert self.names() - before < 2500
        assert publishing.size("q") == 0
        publishing.put([Put("q", envelope(str(number))) for number in range(1500)])
        claims = publishing.claim(["q"], 1500)
        assert [claim.message["body"] for claim in claims] == [str(n) for n in range(1500)]

    def test_what_is_done_before_its_time(self, folders: Folders) -> None:
        store = folders.open()
        store.put([Put("q", envelope("x")) for _ in range(5)])
        store.claim(["other"], 1)
        before = self.names()
        for _ in range(20):
            later = time.time() + 3600
            store.put([Put("q", envelope("x"), expires_at=later) for _ in range(50)])
            store.settle(acks=store.claim(["q"], 50))
        assert self.names() - before < 300

    def test_what_others_take_from_a_queue_that_is_never_empty(self, folders: Folders) -> None:
        watching, consuming = folders.open(), folders.open()
        watching.put([Put("q", envelope("x")) for _ in range(60)])
        before = self.names()
        for _ in range(40):
            watching.put([Put("q", envelope("x")) for _ in range(25)])
            assert watching.size("q") == 85
            consuming.settle(acks=consuming.claim(["q"], 25))
            assert watching.size("q") == 60
        assert self.names() - before < 400
