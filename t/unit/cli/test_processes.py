"""Separate processes meet through a folder, as users' commands do."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def test_publish_queues_consume(kombu_process) -> None:
    assert kombu_process("declare", "tasks").returncode == 0
    sent = kombu_process("publish", "tasks", '{"id": 1}', "plain words")
    assert (sent.returncode, sent.stdout) == (0, "2 published\n")

    listed = kombu_process("queues", "--json")
    assert json.loads(listed.stdout) == {
        "queue": "tasks", "ready": 2, "unacked": 0, "consumers": None,
    }  # fmt: skip

    first = kombu_process("consume", "tasks", "-n", "1")
    assert (first.returncode, first.stdout) == (0, '{"id": 1}\n')
    second = kombu_process("consume", "tasks", "--wait", "0.2")
    assert second.stdout == "plain words\n"
    empty = kombu_process("consume", "tasks", "--wait", "0.1")
    assert (empty.returncode, empty.stdout) == (3, "")


def test_bodies_come_by_standard_input(kombu_process) -> None:
    kombu_process("declare", "tasks")
    sent = kombu_process("publish", "tasks", input='{"id": 1}\nsecond\n')
    assert sent.stdout == "2 published\n"
    assert kombu_process("consume", "tasks", "-n", "2").stdout == '{"id": 1}\nsecond\n'


def test_what_the_terminal_cannot_show_is_escaped(kombu_process, monkeypatch) -> None:
    kombu_process("declare", "tasks")
    kombu_process("publish", "tasks", "grüße", "end")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    shown = kombu_process("consume", "tasks", "-n", "2")
    assert (shown.returncode, shown.stdout) == (0, "gr\\xfc\\xdfe\nend\n")


def test_what_nobody_reads_is_not_acknowledged(kombu_process, folder) -> None:
    kombu_process("declare", "tasks")
    kombu_process("publish", "tasks", "first")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kombu", "consume", "filesystem://", "tasks"]
    run = subprocess.run(
        [*command, *folder.arguments],
        stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (run.returncode, run.stderr) == (1, "")
    assert kombu_process("consume", "tasks", "-n", "1").stdout == "first\n"


def test_a_missing_client_library_is_named() -> None:
    """A finder that refuses to import redis stands for a machine without it."""
    program = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'redis':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from kombu.cli import main\n"
        "sys.exit(main(['doctor', 'redis://localhost', '--json']))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1, run.stderr
    failed = json.loads(run.stdout)["failed"]
    assert failed["kind"] == "missing-client"
    assert "redis" in failed["cause"]
    assert failed["mend"] == "run: pip install 'kombu[redis]'"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_commands_and_options(shell: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "kombu", "completions", shell],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    for word in ("publish", "requeue", "doctor", "tls-ca", "peek"):
        assert word in run.stdout
    if shell == "bash":
        line = f"{run.stdout}\nCOMP_WORDS=(kombu re); COMP_CWORD=1; _kombu; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "requeue"
