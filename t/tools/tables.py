"""Tables for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Notes:
    """Footnotes of one table, each once, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def marked(self, text: str, notes: Iterable[str]) -> str:
        """``text`` with references to these notes."""
        marks = [f"[{self._numbers.setdefault(each, len(self._numbers) + 1)}]_" for each in notes]
        return " ".join([text, *dict.fromkeys(marks)])

    def lines(self) -> list[str]:
        """What stands below the table."""
        return [f".. [{number}] {text}" for text, number in self._numbers.items()]


def list_table(
    made_by: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Notes | None = None
) -> str:
    """A ``list-table`` with these columns; footnotes come below it.

    Arguments:
        made_by: the script that knows how it came about, for who opens the file.
        rows: made while they are written, so that they may still add notes.
    """
    lines = [f".. Made by {made_by}.", "", ".. list-table::", "   :header-rows: 1", ""]
    for row in (columns, *rows):
        first, *others = row
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    below = notes.lines() if notes else []
    return "\n".join([*lines, *([""] if below else []), *below]) + "\n"
