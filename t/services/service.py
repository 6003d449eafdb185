"""One server: how it is started in a directory of its own, restarted and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from t.services.processes import ServiceError, alive, kill_group, start_time

#: Name -> class; filled when the modules of this package are imported.
REGISTRY: dict[str, type[Service]] = {}


class Service:
    """Base of all servers; subclasses spawn processes in :meth:`start`.

    A service keeps everything under a temporary directory and stops exactly the process
    groups that it started.
    """

    name: ClassVar[str] = ""
    doc: ClassVar[str] = ""
    apt: ClassVar[tuple[str, ...]] = ()
    pip: ClassVar[tuple[str, ...]] = ()
    npm: ClassVar[tuple[str, ...]] = ()
    #: Seconds to become ready.
    timeout: ClassVar[float] = 60
    #: Seconds between SIGTERM and SIGKILL; 0: SIGKILL at once.
    grace: ClassVar[float] = 3

    def __init_subclass__(cls) -> None:
        if cls.name:
            REGISTRY[cls.name] = cls

    def __init__(self) -> None:
        self.procs: list[dict[str, Any]] = []
        self.env: dict[str, str] = {}
        self.probes: list[tuple[Callable[[], Any], str]] = []

    @cached_property
    def dir(self) -> Path:
        """Its own directory, made when it is first needed."""
        path = Path(tempfile.mkdtemp(prefix=f"kombu-{self.name}-"))
        # Some servers give up root and must still reach their data.
        path.chmod(0o755)
        return path

    # ---- what subclasses implement

    def missing(self) -> list[str]:
        """Names of programs or packages that are not here."""
        return []

    def start(self) -> Mapping[str, Any]:
        """Spawn the processes, wait for them, and return the variables that lead to them."""
        raise NotImplementedError

    # ---- helpers for them

    def path(self, *parts: str) -> Path:
        path = self.dir.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, text: str) -> Path:
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def spawn(
        self,
        label: str,
        argv: list[Any],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sig: int = signal.SIGTERM,
        user: str | None = None,
    ) -> dict[str, Any]:
        """Start a process as leader of its own session and group."""
        proc: dict[str, Any] = {
            "label": label,
            "argv": [str(a) for a in argv],
            "env": dict(env or {}),
            "cwd": cwd or self.dir,
            "log": str(self.dir / f"{label}.log"),
            "signal": int(sig),
            "user": user if os.getuid() == 0 else None,
        }
        self.procs.append(proc)
        self._launch(proc)
        return proc

    def _launch(self, proc: dict[str, Any]) -> None:
        user = proc["user"]
        as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        with open(proc["log"], "ab") as out:
            process = subprocess.Popen(
                proc["argv"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=proc["cwd"],
                env={**os.environ, **proc["env"]},
                start_new_session=True,
                **as_user,
            )
        proc["pid"], proc["started"] = process.pid, start_time(process.pid)
        # It is reaped by kill_group: no ResourceWarning.
        process.returncode = 0

    def wait(self, probe: Callable[[], Any], what: str = "", timeout: float | None = None) -> None:
        """Poll ``probe`` until it is true; fail fast when a process died."""
        self.probes.append((probe, what))
        self._ready(probe, what, timeout or self.timeout)

    def _ready(self, probe: Callable[[], Any], what: str, timeout: float) -> None:
        end = time.monotonic() + timeout
        last: BaseException | None = None
        while True:
            try:
                if probe():
                    return
            except Exception as exc:  # noqa: BLE001 - not ready yet; shown when it never is
                last = exc
            for proc in self.procs:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(proc["pid"], os.WNOHANG)
                if not alive(proc):
                    raise ServiceError(f"{self.name}: {proc['label']} died{self.tail(proc)}")
            if time.monotonic() > end:
                logs = "".join(self.tail(proc) for proc in self.procs)
                raise ServiceError(
                    f"{self.name}: {what or 'not ready'} after {timeout} s ({last!r}){logs}"
                )
            time.sleep(0.05)

    @staticmethod
    def tail(proc: dict[str, Any], size: int = 1500) -> str:
        with contextlib.suppress(OSError):
            return f"\n--- {proc['log']}\n" + Path(proc["log"]).read_text(errors="replace")[-size:]
        return ""

    # ---- life

    def up(self) -> dict[str, str]:
        """Start it and return the variables that lead to it."""
        if gone := self.missing():
            raise ServiceError(
                f"{self.name}: missing {', '.join(gone)}; python -m t.services install {self.name}"
            )
        try:
            self.env = {key: str(value) for key, value in self.start().items()}
        except BaseException:
            self.stop()
            raise
        return self.env

    def restart(self) -> None:
        """Stop all its processes and start them again on the same ports and data."""
        for proc in reversed(self.procs):
            kill_group(proc, self.grace or 10)
        for proc in self.procs:
            self._launch(proc)
        for probe, what in self.probes:
            self._ready(probe, what, self.timeout)

    def labelled(self, label: str) -> dict[str, Any]:
        """One of its processes.

        Raises:
            LookupError: there is none of this name.
        """
        for proc in self.procs:
            if proc["label"] == label:
                return proc
        raise LookupError(f"{self.name}: no process {label!r}")

    def kill(self, label: str) -> None:
        """SIGKILL one of its processes."""
        kill_group(self.labelled(label), 0)

    def revive(self, label: str) -> None:
        """Start one of its processes again; does not wait until it is ready."""
        self._launch(self.labelled(label))

    def stop(self) -> None:
        """Stop it and remove its data."""
        for proc in reversed(self.procs):
            kill_group(proc, self.grace)
        self.procs.clear()
        if "dir" in self.__dict__:
            shutil.rmtree(self.dir, ignore_errors=True)
            del self.dir
