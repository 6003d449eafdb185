"""Every block of Python in the documentation runs, in order, each page in a process of its own.

A block after the comment ``.. needs a server`` is compiled only; one after
``.. run with pytest`` is run by pytest, with the plugin's fixtures. A page's other blocks
make one program: later ones use what earlier ones made.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for path in [ROOT / "README.rst", *(ROOT / "docs").rglob("*.rst")]
    if "_build" not in path.parts and ".. code-block:: python" in path.read_text()
)

_BLOCK = re.compile(
    r"^(?P<indent>[ ]*)\.\. code-block:: python[^\n]*\n(?:[ ]+:[^\n]*\n)*\n"
    r"(?P<code>(?:(?P=indent)[ ]+[^\n]*\n|[ ]*\n)+)",
    re.MULTILINE,
)
_MARK = re.compile(r"^[ ]*\.\. (needs a server|run with pytest)\b[^\n]*\n+\Z", re.MULTILINE)


class Block(NamedTuple):
    code: str
    line: int
    mark: str | None


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text()
    if not text.endswith("\n"):
        text += "\n"
    found = []
    for match in _BLOCK.finditer(text):
        before = text[: match.start()]
        mark = _MARK.search(before[-200:])
        line = before.count("\n") + 3
        found.append(
            Block(textwrap.dedent(match["code"]).strip("\n") + "\n", line, mark and mark[1])
        )
    return found


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_block_is_missed() -> None:
    for path in PAGES:
        assert len(blocks_of(path)) == path.read_text().count(".. code-block:: python"), path


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_blocks(path: Path, tmp_path: Path) -> None:
    blocks = blocks_of(path)
    for block in blocks:
        compile(block.code, f"{ids(path)}:{block.line}", "exec")
    _run_page(path, [block for block in blocks if block.mark is None], tmp_path)
    _run_pytest([block for block in blocks if block.mark == "run with pytest"], tmp_path)


def _run_page(path: Path, blocks: list[Block], folder: Path) -> None:
    if not blocks:
        return
    # Lines of the page, so that a traceback leads to it.
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - len(lines) - 1)
        lines += block.code.splitlines()
    page = folder / "page.py"
    page.write_text("\n".join(lines) + "\n")
    run = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", page],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, f"{path}\n{run.stderr}"


def _run_pytest(blocks: list[Block], folder: Path) -> None:
    if not blocks:
        return
    for number, block in enumerate(blocks):
        (folder / f"test_block_{number}.py").write_text(block.code)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
