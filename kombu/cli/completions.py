"""``kombu completions``: what shells need to complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from kombu.cli.arguments import OK
from kombu.cli.console import Console


def add(subparsers: Any) -> None:
    text = "print the completion script of a shell"
    parser = subparsers.add_parser("completions", help=text, description=text)
    parser.add_argument("shell", choices=sorted(_SHELLS))

    def run(args: argparse.Namespace, console: Console) -> int:
        console.payload(_SHELLS[args.shell](dict(_commands(subparsers))).rstrip("\n"))
        return OK

    parser.set_defaults(run=run, refuse=parser.error, json=False)


#: Command -> its help and its options with their help.
Commands = dict[str, tuple[str, dict[str, str]]]


def _commands(subparsers: Any) -> Iterator[tuple[str, tuple[str, dict[str, str]]]]:
    for name, parser in subparsers.choices.items():
        options = {
            option: (action.help or "").replace("'", "")
            for action in parser._actions
            for option in action.option_strings
            if option.startswith("--")
        }
        yield name, (parser.description or "", options)


def bash(commands: Commands) -> str:
    """For bash: ``source <(kombu completions bash)``."""
    cases = "\n".join(
        f"    {name}) words='{' '.join(options)}' ;;" for name, (_, options) in commands.items()
    )
    return f"""\
_kombu() {{
  local words
  case "${{COMP_WORDS[1]}}" in
{cases}
    *) words='' ;;
  esac
  [ "$COMP_CWORD" -eq 1 ] && words='{" ".join(commands)}'
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _kombu kombu
"""


def zsh(commands: Commands) -> str:
    """For zsh: a file ``_kombu`` in a folder of ``$fpath``."""
    described = " ".join(f"'{name}:{help}'" for name, (help, _) in commands.items())
    cases = "\n".join(
        f"    {name}) _values option {' '.join(options)} ;;"
        for name, (_, options) in commands.items()
        if options
    )
    return f"""\
#compdef kombu
_kombu() {{
  local -a commands
  commands=({described})
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  case "$words[2]" in
{cases}
  esac
}}
_kombu "$@"
"""


def fish(commands: Commands) -> str:
    """For fish: ``kombu completions fish | source``."""
    lines = ["complete -c kombu -n __fish_use_subcommand -f"]
    for name, (help, options) in commands.items():
        lines.append(f"complete -c kombu -n __fish_use_subcommand -a {name} -d '{help}'")
        lines.extend(
            f"complete -c kombu -n '__fish_seen_subcommand_from {name}' -l {option[2:]} -d '{text}'"
            for option, text in options.items()
        )
    return "\n".join(lines) + "\n"


_SHELLS: dict[str, Callable[[Commands], str]] = {"bash": bash, "fish": fish, "zsh": zsh}
