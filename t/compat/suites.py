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
        runner: ``pytest``, or ``xmlrunner`` for tests that multiply as unittest loads them.
        written: file beside this one with the tests, where the archive has none.
    """

    requirement: str
    needs: tuple[str, ...]
    tests: str
    copied: tuple[str, ...] = ()
    excused: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    runner: str = "pytest"
    written: str = ""


_PROVISIONS = "counts connections that an earlier test acquired without a limit and never released"
_CELERY = ("celery==5.7.0", "pytest-timeout==2.4.0")
_EXPIRED = "receives in memory what it sent with an expiration of 0: that expires, as on RabbitMQ"
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
            "t.unit.tasks.test_tasks.test_tasks::test_regular_task": _EXPIRED,
        },
        # Their cloud clients are large, and no broker's.
        left_out=(
            "t/unit/backends/test_azureblockblob.py",
            "t/unit/backends/test_gcs.py",
        ),
    ),
    "celery-batches": Suite(
        requirement="celery-batches==0.11",
        needs=("celery<5.7", "pytest==9.1.1", "pytest-timeout==2.4.0"),  # it takes no newer one
        tests="batches.py",
        written="batches.py",
    ),
    "flower": Suite(
        requirement="flower==2.2.0",
        needs=(*_CELERY, "pytest==9.1.1", "redis"),
        tests="tests/unit",
        copied=("tests",),
    ),
    "django-celery-beat": Suite(
        requirement="django-celery-beat==2.9.0",
        needs=(*_CELERY, "pytest<9", "pytest-django<5", "ephem"),
        tests="t/unit",
        copied=("t", "setup.cfg"),
    ),
    "oslo.messaging": Suite(
        requirement="oslo.messaging==18.3.1",
        needs=(
            "eventlet",
            "fixtures",
            "oslotest",
            "testscenarios",
            "testtools",
            "unittest-xml-reporting",
        ),
        tests="oslo_messaging.tests.drivers.test_impl_rabbit "
        "oslo_messaging.tests.drivers.test_amqpdriver oslo_messaging.tests.notify.test_notifier "
        "oslo_messaging.tests.notify.test_listener oslo_messaging.tests.notify.test_dispatcher "
        "oslo_messaging.tests.rpc.test_client oslo_messaging.tests.rpc.test_server",
        runner="xmlrunner",
    ),
    "opentelemetry": Suite(
        requirement="opentelemetry-instrumentation-celery==0.66b1",
        needs=(*_CELERY, "opentelemetry-test-utils==0.66b1", "pytest==9.1.1"),
        tests="tests",
        copied=("tests",),
    ),
    "sentry-sdk": Suite(
        requirement="sentry-sdk==2.75.0",
        needs=(
            *_CELERY,
            "jsonschema",
            "pytest<9",
            "pytest-asyncio",
            "pytest-forked",
            "pytest-localserver",
            "redis",
            "werkzeug",
        ),
        tests="tests/integrations/celery",
        copied=("tests", "pyproject.toml"),
    ),
}
