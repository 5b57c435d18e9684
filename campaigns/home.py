"""Settings for a set of processes in a campaign: every pause is short, so that many faults take little time."""

SETTINGS = {
    "OMS_LEASE_S": "2",
    "OMS_MAXIMUM_PAUSE_S": "0.5",
    "OMS_ACK_TIMEOUT_FACTOR": "0.2",
    "OMS_SEND_WINDOW_S": "5",
    "OMS_QUOTE_MAX_AGE_S": "300",
    "OMS_RATE_LIMIT_PER_S": "100000",
    "OMS_RATE_LIMIT_BURST": "100000",
    "OMS_ARGON2_MEMORY_KIB": "1024",
    "OMS_ARGON2_TIME_COST": "1",
    "OMS_LOG_LEVEL": "warning",
}
"""What is checked does not depend on them."""
