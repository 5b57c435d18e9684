"""Every pause of a cell, stretched by one factor: settings as anybody makes them, and constants by their place."""

from campaigns.timing import scaled

LEASE_S = 1.5
CLAIM_S = 2.0


def settings() -> dict[str, str]:
    """Every pause is short, so that many kills take little time; what is checked does not depend on them."""
    return {
        "OMS_LEASE_S": f"{scaled(LEASE_S):g}",
        "OMS_MAXIMUM_PAUSE_S": f"{scaled(0.3):g}",
        "OMS_ACK_TIMEOUT_FACTOR": f"{scaled(0.2):g}",
        "OMS_SEND_WINDOW_S": f"{scaled(5):g}",
        "OMS_QUOTE_MAX_AGE_S": f"{scaled(300):g}",
        "OMS_POLL_MS": "50",
        "OMS_RATE_LIMIT_PER_S": "100000",
        "OMS_RATE_LIMIT_BURST": "100000",
        "OMS_API_WORKERS": "1",
        "OMS_API_THREADS": "8",
        "OMS_ALLOW_PRIVATE_WEBHOOKS": "true",
        "OMS_ARGON2_MEMORY_KIB": "1024",
        "OMS_ARGON2_TIME_COST": "1",
        "OMS_LOG_LEVEL": "warning",
    }


def tuning() -> dict[str, float]:
    """Pauses that are constants of the product, in seconds."""
    return {
        "oms_app.workers.delivery:CLAIM": scaled(CLAIM_S),
        "oms_app.workers.delivery:LONGEST_TURN_S": scaled(1),
        "oms_app.workers.delivery:RETRY_AFTER_S": scaled(0.2),
        "oms_app.workers.feeding:HINT_AGAIN_S": scaled(0.5),
        "oms_app.workers.leader:LOOK_EVERY_S": scaled(0.3),
        "oms_app.sessions.process:LOOK_EVERY_S": scaled(0.1),
        "oms_app.flow.submission:CANCEL_AGAIN_AFTER": scaled(1),
        "oms_app.strategies.server:LOOK_EVERY_S": scaled(0.2),
    }
