"""Say what the fields of calendars and of instruments' facts mean."""

_TOLD = {
    "as_of": "Since when this is known; left out of a request: now.",
    "is_halted": "Whether trading is halted; null while nobody knows.",
    "in_auction": "Whether the instrument is in an auction; null while nobody knows.",
    "is_short_restricted": "Whether short sales have to be above the best bid; null while nobody knows.",
    "is_hard_to_borrow": "Whether it is hard to borrow; null while nobody knows.",
}
OF_SCHEMA = {
    **{
        (schema, field): text
        for schema in ("InstrumentFacts", "InstrumentFactsRequest")
        for field, text in _TOLD.items()
    },
    ("Calendar", "name"): "The calendar's name, which instruments name.",
    ("Calendar", "is_open"): "Whether the venue's session is open now.",
    ("Calendar", "trading_date"): "The date under which the venue books what happens now.",
    ("Calendar", "time_zone"): "The venue's time zone, in which its hours are.",
}
DESCRIPTIONS = {
    "average_daily_volume": "Units traded on a day, on average of 20 days; null while unknown.",
    "break_from": "When the pause within the session begins; null without one.",
    "break_until": "When the pause within the session ends; null without one.",
    "closes_at": "When the session ends, in the venue's zone.",
    "early_closes": "Days on which the session ends at another hour, with that hour; in a list left out.",
    "holidays": "Days of the week's sessions on which there is none; in a list left out.",
    "in_auction": _TOLD["in_auction"],
    "is_halted": _TOLD["is_halted"],
    "is_hard_to_borrow": _TOLD["is_hard_to_borrow"],
    "is_known": "Whether the holidays of the present trading date are known.",
    "is_short_restricted": _TOLD["is_short_restricted"],
    "issuer": "Who issued it, as lists of restricted issuers name them; empty while unknown.",
    "known_until": "The last date whose holidays are known; null: for ever.",
    "late_opens": "Days on which the session begins at another hour, with that hour; in a list left out.",
    "limit_down": "The lowest price at which it may trade; null without a band.",
    "limit_up": "The highest price at which it may trade; null without a band.",
    "next_change_at": "When the venue next opens or closes; null: not within 30 days.",
    "opens_at": "When the session begins, in the venue's zone; not before closes_at: the evening before.",
    "sector": "The sector for concentration limits; empty while unknown.",
    "weekdays": "Days of the week with a session, 1 for Monday to 7.",
}
