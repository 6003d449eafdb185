"""Directive ``transport-options``: the table of a transport's options, from its dataclass."""

from __future__ import annotations

import dataclasses
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from kombu.transport.options import TransportOptions
from kombu.utils.imports import symbol_by_name


class TransportOptionsTable(SphinxDirective):
    """``.. transport-options:: package.module:TransportClass``"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        options: type[TransportOptions] = symbol_by_name(self.arguments[0]).Options
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 25 20 55", ""]
        rows: list[tuple[str, Any, str]] = [("option", "default", "meaning")]
        for name, field in options.names().items():
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            rows.append((f"``{name}``", f"``{default!r}``", field.metadata.get("doc", "")))
        for first, second, third in rows:
            lines += [f"   * - {first}", f"     - {second}", f"     - {third}"]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, self.arguments[0]), 0, container)
        return container.children


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("transport-options", TransportOptionsTable)
    return {"parallel_read_safe": True}
