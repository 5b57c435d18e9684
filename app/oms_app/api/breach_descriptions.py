"""Say what the fields of breaches, cases of surveillance and rounds of monitoring mean."""

_OF_BREACH = {
    "account_id": "The account that the breach is about; null when it concerns the tenant as a whole.",
    "strategy_id": "The strategy that it is about, or null.",
    "instrument_id": "The instrument that it is about, or null.",
    "key": "What tells it from other breaches of the same limit; while one is open it is not told again.",
    "rule": "The rule or monitor that found it.",
    "limit": "The limit that was met.",
    "limit_id": "The limit that was overstepped.",
    "message": "What is the matter, for people.",
    "status": "OPEN, ASSIGNED once somebody takes care of it, CLOSED.",
    "category": "RISK, or SURVEILLANCE: a case of compliance.",
    "action": "What it set off beside its alert.",
    "finding": "JUSTIFIED, EXPECTED, FALSE_ALARM or VIOLATION; empty while it is open.",
    "order_id": "The order that set it off, or null.",
    "code": "Short stable word for what was found.",
    "closed_at": "When a person closed it; null while it is open.",
    "notes": "What people wrote about it, oldest first.",
}
OF_SCHEMA = {
    **{
        (schema, name): text
        for schema in ("Breach", "BreachRead", "SurveillanceCase")
        for name, text in _OF_BREACH.items()
    },
    ("SurveillanceCase", "orders"): "The orders of its account and instrument in the ten minutes before, at most 50.",
    ("SurveillanceCase", "executions"): "The executions of its account and instrument in those minutes, at most 50.",
    ("BreachNote", "event_id"): "The event that holds the hash of the text.",
    ("BreachNote", "text"): "What the person wrote; empty once the person was erased.",
    ("CaseExecution", "order_id"): "The order that was executed; null for one that was not placed here.",
    ("AssignBreach", "text"): "A note for whoever reads this later.",
    ("NoteBreach", "text"): "What you found out so far.",
    ("CloseBreach", "text"): "What you found out, in your own words; kept beside the log.",
    ("CloseBreach", "finding"): "JUSTIFIED, EXPECTED, FALSE_ALARM or VIOLATION.",
    ("AssignBreach", "assigned_to"): "Who takes care of it; you, when it is left out.",
    ("MonitoringRound", "holder"): "The worker that watches the ledger.",
    ("MonitoringRound", "ended_at"): "When the round ended.",
    ("MonitoringRound", "is_late"): "Whether the ledger has monitors, and none was asked for more than 5 seconds.",
    ("MonitoringRound", "error"): "Why the last look failed; empty when it did not.",
}
DESCRIPTIONS = {
    "breach_id": "Id of the breach: that of the event which told it.",
    "breached_at": "When it was found.",
    "assigned_to": "Who takes care of it.",
    "closed_by": "Who closed it.",
    "written_at": "When it was written.",
    "open": "Only those that are open, or only those that are closed.",
    "duration_ms": "How long the round took.",
    "age_ms": "How long ago that was; the state is stored each few seconds.",
    "lag_ms": "How long after the newest event or mark in it the round ended; 0 when nothing was new.",
    "monitors": "How many limits were asked.",
    "failures": "The limits whose monitor failed and watches nothing now.",
    "rounds": "How many rounds there were since this worker began to watch the ledger.",
}
