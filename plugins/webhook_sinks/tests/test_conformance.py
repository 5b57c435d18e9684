"""The sink keeps the contract."""

from typing import Any

import standardwebhooks

from oms_kernel.testkit.receiver import Received
from oms_kernel.testkit.sink_suite import SinkConformanceSuite
from oms_webhook_sinks.signed_post import SignedPost

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class TestSignedPost(SinkConformanceSuite):
    contributed = SignedPost

    def params_for(self, url: str) -> dict[str, Any]:
        return {"url": url, "secret": SECRET, "timeout_s": 1}

    def verify(self, received: Received) -> None:
        standardwebhooks.Webhook(SECRET).verify(received.body, received.headers)
