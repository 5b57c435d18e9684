"""The quick reader of orders and the documented schema say the same; schemas follow the kernel's Structs."""

from datetime import UTC, datetime
from decimal import Decimal

import marshmallow as ma
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_app.api import json_text
from oms_app.api.answers import answer_schemas
from oms_app.api.order_fields import ALIASES, fingerprint, order_schema, read_draft
from oms_app.api.order_json import ORDER_FIELDS, REQUEST_FIELDS, denial, order_document
from oms_app.api.problems import STATUS_OF_CODE, problem_of
from oms_app.api.schema_from_struct import field_for
from oms_kernel.domain.decision import Decision, Gate, Outcome, Verdict
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.order import Order, OrderRequest

ACCOUNT = "0190f3a1-0000-7000-8000-0000000000aa"
GOOD = {"account_id": ACCOUNT, "symbol": "ACME", "side": "BUY", "quantity": "10", "order_type": "MARKET"}

NUMBERS = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.integers(-(10**25), 10**25),
    st.decimals(min_value=-100, max_value=100, places=3),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(["1_000", "1e5", "+5", "0.1", "00.10", " 1", "١٢", "-0", "1.", ".5", "1" * 40]),
)
OTHERS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=10), st.lists(st.integers(), max_size=2))
WORDS = st.sampled_from(
    [
        "BUY",
        "SELL",
        "LIMIT",
        "MARKET",
        "SL",
        "SL-M",
        "DAY",
        "GTC",
        "MIS",
        "buy",
        "2026-01-01T00:00:00Z",
        "2026-01-01",
    ]
)
ABOVE_ZERO = {"quantity", "confirmed_quantity", "trail_amount", "trail_percent"}
FIELDS = sorted({*order_schema().fields, "colour"} - ABOVE_ZERO)


@given(field=st.sampled_from(["limit_price", "stop_price", "price", "trigger_price"]), value=NUMBERS)
def test_the_schema_and_the_quick_reader_take_the_same_numbers(field: str, value: object) -> None:
    _agree({**GOOD, field: value})


@given(field=st.sampled_from(FIELDS), value=st.one_of(OTHERS, WORDS))
def test_the_schema_and_the_quick_reader_take_the_same_fields(field: str, value: object) -> None:
    # null is the same as not given to the reader; in the document it is said of optional fields only.
    if value is not None and field not in ("account_id", "broker_account_id", "instrument_id"):
        _agree({**GOOD, field: value})


def _agree(body: dict[str, object]) -> None:
    _, errors = read_draft(body)
    try:
        order_schema().load(body)
    except ma.ValidationError as error:
        refused = set(error.messages)
    else:
        refused = set()
    read = {error.field for error in errors if not error.detail.startswith("means the same")}
    lengths = {"client_order_id", "tags", "metadata"}  # bounded more tightly than the document says
    assert read - lengths == refused - lengths, (body, errors, refused)


def test_every_field_of_the_request_and_every_alias_is_in_the_document() -> None:
    known = set(order_schema().fields)
    assert set(ALIASES) <= known
    later = {"group_id", "tags_hash", "strategy_run_id", "liquidation_id"}
    assert set(OrderRequest.__struct_fields__) - later <= known


def test_every_field_of_the_kernels_order_is_shown() -> None:
    shown = set(answer_schemas()["Order"].fields)
    assert {*REQUEST_FIELDS, *ORDER_FIELDS} <= shown
    hidden = set(Order.__struct_fields__) - set(ORDER_FIELDS)
    assert hidden == {"request", "place", "replace", "cancel", "lease_token"}
    assert {"requests", "replacement"} <= shown


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.text(), st.decimals(allow_nan=False, allow_infinity=False)),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=10,
    )
)
def test_what_is_made_plain_can_be_encoded_and_holds_no_exponent(value: object) -> None:
    shown = json_text.plain(value)
    json_text.encode(shown)
    if isinstance(value, Decimal):
        assert "E" not in shown


@pytest.mark.parametrize("text", ["1.0", "1", "1.00", "1e0", "10e-1"])
def test_the_fingerprint_does_not_depend_on_how_numbers_are_written(text: str) -> None:
    draft, _ = read_draft(
        json_text.decode(msgspec.json.encode({**GOOD, "quantity": 0}).replace(b"0,", b"%s," % text.encode(), 1))
    )
    wanted, _ = read_draft({**GOOD, "quantity": "1"})
    assert draft is not None
    assert fingerprint(draft) == fingerprint(wanted)
    other, _ = read_draft({**GOOD, "quantity": "2"})
    assert fingerprint(draft) != fingerprint(other)


def test_a_type_that_the_wire_does_not_know_is_refused_at_boot() -> None:
    with pytest.raises(TypeError, match="the wire has no field"):
        field_for(complex)


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        (Gate.COMPLIANCE, "compliance_denied"),
        (Gate.RISK, "risk_denied"),
        (Gate.ACCOUNT, "risk_denied"),
        (Gate.CAPABILITY, "risk_denied"),
    ],
)
def test_a_denial_names_its_rule_and_plugin_and_its_code_follows_the_gate(gate: Gate, code: str) -> None:
    verdict = Verdict(
        rule="collar",
        outcome=Outcome.DENY,
        gate=gate,
        plugin="risk_rules",
        message="too far",
        observed=Decimal("5.10"),
    )
    told, detail, verdicts = denial(Decision(order_id=OrderId(ACCOUNT), accepted=False, verdicts=(verdict,)))
    assert told == code
    assert detail == "collar (risk_rules): too far"
    assert verdicts[0]["observed"] == "5.1"
    assert STATUS_OF_CODE[code][0] == 422


def test_an_error_of_the_kernel_says_how_to_put_it_right() -> None:
    problem = problem_of(InvalidNumber("a plain number is needed", field="quantity"), "orders[3].")
    assert problem.status == 422
    assert problem.errors[0].field == "orders[3].quantity"
    assert problem.errors[0].fix


def test_the_document_of_an_order_is_json() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    draft, _ = read_draft(GOOD)
    assert draft is not None
    order = msgspec.convert(
        {
            "order_id": ACCOUNT,
            "request": {**{k: v for k, v in GOOD.items() if k != "symbol"}, "instrument_id": ACCOUNT},
            "broker_account_id": ACCOUNT,
            "connection_id": ACCOUNT,
            "symbol": "ACME",
            "currency": "USD",
            "multiplier": "1",
            "status": "NEW",
            "place": "REQUESTED",
            "accepted_at": now,
            "updated_at": now,
            "version": 3,
            "quantity": "10.00",
        },
        Order,
    )
    decoded = msgspec.json.decode(json_text.encode(order_document(order)))
    assert decoded["quantity"] == "10"
    assert decoded["accepted_at"] == "2026-01-01T00:00:00Z"
    assert set(decoded) == set(answer_schemas()["Order"].fields)
