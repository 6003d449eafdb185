"""The conformance suite: what every transport must do, by capability.

A transport's test module needs five lines::

    import pytest
    from kombu.testing.conformance import Harness, TransportConformance
    from example.transport import Transport

    class TestExample(TransportConformance):
        features = Transport.features

        @pytest.fixture
        def harness(self):
            with Harness("example://localhost") as harness:
                yield harness

Tests of what ``features`` does not declare are not collected; others take their place that
hold what AMQP would not lose to be refused or warned about. RabbitMQ is the judge: the suite
passes on RabbitMQ through py-amqp, and no test expects what RabbitMQ does not do.
"""

import pytest

# Before the modules are imported, so that a failing assertion shows its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "basics",
            "bodies",
            "closing",
            "consuming",
            "crashes",
            "declaring",
            "harness",
            "model",
            "patterns",
            "policies",
            "publishing",
            "routing",
            "settling",
            "store",
        )
    )
)

from kombu.testing.conformance.harness import Harness, Inbox  # noqa: E402
from kombu.testing.conformance.selection import requires, unless  # noqa: E402
from kombu.testing.conformance.suite import TransportConformance  # noqa: E402

__all__ = ("Harness", "Inbox", "TransportConformance", "requires", "unless")
