"""The servers of one test run: started when first asked for, stopped at its end."""

from __future__ import annotations

from collections.abc import Mapping

from t.services import REGISTRY, Service


class Servers:
    """Servers by name.

    Arguments:
        only: names that may be started; ``None``: all.
    """

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self.only = only
        self._running: dict[str, Service] = {}
        self._failed: dict[str, BaseException] = {}

    def excluded(self, name: str) -> bool:
        """Whether the run was told to go without this server."""
        return self.only is not None and name not in self.only

    def service(self, name: str) -> Service:
        """The running server.

        Raises:
            ServiceError: it is not installed or did not start; said again at once when asked
                again, so that each test that needs it fails and none waits.
        """
        if name in self._failed:
            raise self._failed[name]
        if name not in self._running:
            service = REGISTRY[name]()
            try:
                service.up()
            except BaseException as exc:
                self._failed[name] = exc
                raise
            self._running[name] = service
        return self._running[name]

    def env(self, name: str) -> Mapping[str, str]:
        """The variables that lead to a server; starts it when it does not run."""
        return self.service(name).env

    def stop(self) -> None:
        """Stop all that was started."""
        for service in reversed(self._running.values()):
            service.stop()
        self._running.clear()


def named(text: str | None) -> frozenset[str] | None:
    """Read ``--servers`` or KOMBU_TEST_SERVERS: names by commas, ``all``, ``none``.

    Raises:
        ValueError: a name that no server has.
    """
    if text is None or text.strip() in ("", "all"):
        return None
    names = frozenset(text.replace(",", " ").split()) - {"none"}
    if unknown := names - REGISTRY.keys():
        raise ValueError(
            f"no such server: {', '.join(sorted(unknown))}; there are: {', '.join(REGISTRY)}"
        )
    return names
