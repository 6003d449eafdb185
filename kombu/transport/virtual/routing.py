"""Which destinations a routing key leads to: one matcher per exchange type.

A matcher keeps the bindings of one exchange in the shape that makes its lookup cheap.
Destinations are opaque hashables (queue names, or exchange destinations).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

Arguments = Mapping[str, Any] | None
_CACHE_SIZE = 4096


class Matcher:
    """The bindings of one exchange. Not thread-safe for writing; reading may run beside it."""

    def add(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        """Add a binding."""
        raise NotImplementedError

    def remove(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        """Remove a binding; unknown ones are ignored."""
        raise NotImplementedError

    def match(self, key: str, headers: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """All destinations, each once, in the order they were first bound."""
        raise NotImplementedError


class DirectMatcher(Matcher):
    """Equal keys (AMQP 0-9-1, 3.1.3.1)."""

    def __init__(self) -> None:
        self._bindings: dict[str, tuple[Hashable, ...]] = {}

    def add(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        present = self._bindings.get(key, ())
        if destination not in present:
            self._bindings[key] = (*present, destination)

    def remove(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        left = tuple(each for each in self._bindings.get(key, ()) if each != destination)
        if left:
            self._bindings[key] = left
        else:
            self._bindings.pop(key, None)

    def match(self, key: str, headers: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        return self._bindings.get(key, ())


class FanoutMatcher(Matcher):
    """Every destination (AMQP 0-9-1, 3.1.3.2)."""

    def __init__(self) -> None:
        self._bindings: dict[tuple[str, Hashable], None] = {}
        self._all: tuple[Hashable, ...] = ()

    def add(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        if (key, destination) not in self._bindings:
            self._bindings[key, destination] = None
            if destination not in self._all:
                self._all = (*self._all, destination)

    def remove(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        self._bindings.pop((key, destination), None)
        self._all = tuple(dict.fromkeys(each for _, each in self._bindings))

    def match(self, key: str, headers: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        return self._all


class _Node:
    """One word of the topic trie.

    Its destinations are replaced, never changed, for other threads may be walking through them.
    """

    __slots__ = ("children", "destinations")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.destinations: dict[Hashable, int] = {}


class TopicMatcher(Matcher):
    """Words with ``*`` (one word) and ``#`` (zero or more) (AMQP 0-9-1, 3.1.3.3).

    The cost of a lookup grows with the words of the key, not with the number of bindings;
    the last lookups are remembered until a binding changes.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._counter = 0
        self._cache: dict[str, tuple[Hashable, ...]] = {}

    def add(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        node = self._root
        for word in key.split(".") if key else ():
            node = node.children.setdefault(word, _Node())
        if destination not in node.destinations:
            self._counter += 1
            node.destinations = {**node.destinations, destination: self._counter}
            self._cache = {}

    def remove(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        path = [self._root]
        words = key.split(".") if key else []
        for word in words:
            child = path[-1].children.get(word)
            if child is None:
                return
            path.append(child)
        left = dict(path[-1].destinations)
        left.pop(destination, None)
        path[-1].destinations = left
        self._cache = {}
        for parent, word, node in zip(
            reversed(path[:-1]), reversed(words), reversed(path[1:]), strict=True
        ):
            if node.children or node.destinations:
                break
            del parent.children[word]

    def match(self, key: str, headers: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        cache = self._cache
        found = cache.get(key)
        if found is None:
            found = self._search(key)
            if len(cache) >= _CACHE_SIZE:
                cache.clear()
            cache[key] = found
        return found

    def _search(self, key: str) -> tuple[Hashable, ...]:
        """Walk the set of trie states word by word, as an NFA: no exponential patterns."""
        states = self._with_empty_hashes({id(self._root): self._root})
        for word in key.split(".") if key else ():
            following: dict[int, _Node] = {}
            for node, loops in states.values():
                if loops:
                    following[id(node)] = node
                for each in (word, "*"):
                    child = node.children.get(each)
                    if child is not None and each != "#":
                        following[id(child)] = child
            looping = {key for key, (_, loops) in states.items() if loops}
            states = self._with_empty_hashes(following, looping)
        matched: dict[Hashable, int] = {}
        for node, _ in states.values():
            for destination, order in node.destinations.items():
                matched[destination] = min(order, matched.get(destination, order))
        return tuple(sorted(matched, key=matched.__getitem__))

    @staticmethod
    def _with_empty_hashes(
        nodes: dict[int, _Node], looping: Iterable[int] = ()
    ) -> dict[int, tuple[_Node, bool]]:
        """Add what ``#`` reaches with no word; ``True`` marks nodes that eat any word."""
        looping = set(looping)
        states: dict[int, tuple[_Node, bool]] = {}
        pending = [(node, key in looping) for key, node in nodes.items()]
        while pending:
            node, loops = pending.pop()
            states[id(node)] = (node, loops or states.get(id(node), (node, False))[1])
            hashed = node.children.get("#")
            if hashed is not None and not states.get(id(hashed), (hashed, False))[1]:
                pending.append((hashed, True))
        return states


class HeadersMatcher(Matcher):
    """Binding arguments against message headers, ``x-match`` all, any, all-with-x, any-with-x.

    As RabbitMQ: arguments starting with ``x-`` count only in the ``-with-x`` forms; an
    argument whose value is ``None`` asks only that the header is there.
    """

    def __init__(self) -> None:
        self._bindings: list[tuple[str, Hashable, dict[str, Any]]] = []

    def add(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        binding = (key, destination, dict(arguments or {}))
        if binding not in self._bindings:
            self._bindings = [*self._bindings, binding]

    def remove(self, key: str, destination: Hashable, arguments: Arguments = None) -> None:
        binding = (key, destination, dict(arguments or {}))
        self._bindings = [each for each in self._bindings if each != binding]

    def match(self, key: str, headers: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        return tuple(
            dict.fromkeys(
                destination
                for _, destination, arguments in self._bindings
                if headers_match(arguments, headers or {})
            )
        )


def headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Whether a headers binding lets a message with ``headers`` through."""
    mode = str(arguments.get("x-match", "all"))
    with_x = mode.endswith("-with-x")
    wanted = {
        name: value
        for name, value in arguments.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    }
    hits = (
        name in headers and (value is None or headers[name] == value)
        for name, value in wanted.items()
    )
    return any(hits) if mode.startswith("any") else all(hits)


MATCHERS: dict[str, type[Matcher]] = {
    "direct": DirectMatcher,
    "topic": TopicMatcher,
    "fanout": FanoutMatcher,
    "headers": HeadersMatcher,
}
