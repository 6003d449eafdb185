"""The suites: where their tests come from, what they need, what is left out of account."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """Tests in a source archive of the package index.

    Arguments:
        requirement: the project, pinned.
        needs: what its tests need besides, the same on both sides.
        tests: folder or files within the archive.
        copied: folders and files of the archive that the tests read.
        excused: test -> why ours may differ.
        left_out: files that can't be collected with what is installed.
    """

    requirement: str
    needs: tuple[str, ...]
    tests: str
    copied: tuple[str, ...]
    excused: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


_PROVISIONS = "counts connections that an earlier test acquired without a limit and never released"
_LEAK = "needs the queue that an earlier test leaves behind; fails alone with the published one too"

SUITES: dict[str, Suite] = {
    "celery": Suite(
        requirement="celery==5.7.0",
        needs=(
            "pytest==9.1.1",
            "pytest-celery>=1.3.0",
            "pytest-click==1.1.0",
            "pytest-order==1.5.0",
            "pytest-rerunfailures==16.7",
            "pytest-subtests==0.15.0",
            "pytest-timeout==2.4.0",
            "boto3",
            "cryptography",
            "fakeredis[lua]",
            "freezegun==1.5.5",
            "gevent",
            "moto==5.2.3",
            "msgpack",
            "pydantic",
            "pymongo",
            "pyyaml",
            "redis",
            "setuptools",
            "sqlalchemy",
            "tblib",
        ),
        tests="t/unit",
        copied=("t", "pyproject.toml", "setup.cfg", "requirements", "docs", "examples"),
        excused={
            "t.unit.app.test_amqp.test_ProducerPool::test_setup": _PROVISIONS,
            "t.unit.app.test_app.test_App::test_connection_or_acquire": _PROVISIONS,
            "t.unit.events.test_events.test_EventReceiver::test_itercapture_limit": _LEAK,
        },
        # Their cloud clients are large, and no broker's.
        left_out=(
            "t/unit/backends/test_azureblockblob.py",
            "t/unit/backends/test_gcs.py",
        ),
    ),
}
