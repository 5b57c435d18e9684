"""The pages of API keys: what programs hold, with last use; make, change, rotate, revoke; secrets are shown once."""

from datetime import datetime, timedelta
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow.errors import FlowError
from oms_app.flow.identity import StepUpRequired
from oms_app.flow.machine_keys import KeyWish, NewApiKey
from oms_app.flow.scopes import Scope
from oms_app.store.key_rows import KeyRow
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import AccountId

KEY = "/keys/<uuid:key_id>"
TERMS = ("name", "expires_at", "networks", "requests_per_s", "burst")
LONGEST_NAME = 200
OVERLAPS = ((0, "at once"), (3600, "in an hour"), (24 * 3600, "in a day"), (7 * 24 * 3600, "in a week"))
"""Seconds, and when the old secret ends."""
STATES = {
    "active": ("Active", "done"),
    "rotating": ("Rotating", "waiting"),
    "expired": ("Expired", "over"),
    "revoked": ("Revoked", "over"),
}


class KeyPages:
    """The views of API keys."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._keys = services.identity.machine_keys
        self._sessions = services.identity.sessions
        self._clock = services.clock
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        scope = Scope.ADMIN_TENANTS
        return (
            ("/keys", self.show_keys, scope, "GET"),
            ("/keys", self.create_key, scope, "POST"),
            (KEY, self.show_key, scope, "GET"),
            (f"{KEY}/change", self.change_key, scope, "POST"),
            (f"{KEY}/rotate", self.rotate_key, scope, "POST"),
            (f"{KEY}/revoke", self.revoke_key, scope, "POST"),
        )

    def show_keys(self) -> ResponseReturnValue:
        """All keys of the tenant, and the form for another."""
        return self._sheets.page("keys", **self._listed())

    def create_key(self) -> ResponseReturnValue:
        """Make a key; the answer is the only one that holds its text."""
        form = forms.read(*TERMS, "kind", ticked=("scopes", "account_ids"))
        try:
            wish = _wish(form)
            if not wish.scopes:
                raise InvalidRequest("choose at least one scope", field="scopes")
            if Scope.PLACE_ORDERS in wish.scopes:
                self._sessions.require_step_up(caller())
            made = self._keys.create(caller().principal, wish, acting())
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("keys", status=422, **self._listed(form.refused(error)))
        return self._sheets.board("keys", **self._listed(made=made))

    def show_key(self, key_id: str) -> ResponseReturnValue:
        """One key."""
        return self._sheets.page("key", **self._one(self._key(key_id)))

    def change_key(self, key_id: str) -> ResponseReturnValue:
        """Another name, other networks, quota or expiry."""
        form = forms.read(*TERMS)
        try:
            self._require_proof(self._key(key_id))
            changed = self._keys.change(caller().principal, key_id, fields=TERMS, wish=_wish(form), actor=acting())
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("key", status=422, **self._one(self._key(key_id), form.refused(error)))
        return self._sheets.board("key", "The key is changed.", **self._one(changed))

    def rotate_key(self, key_id: str) -> ResponseReturnValue:
        """Another secret; the old one works for as long as was chosen."""
        overlap = timedelta(seconds=forms.count(request.form.get("overlap_s", ""), "overlap_s") or 0)
        try:
            self._require_proof(self._key(key_id))
            made = self._keys.rotate(caller().principal, key_id, overlap=overlap, actor=acting())
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            row = self._key(key_id)
            return self._sheets.board("key", status=422, **self._one(row, _form_of(row).refused(error)))
        return self._sheets.board("key", **self._one(made.row, made=made))

    def revoke_key(self, key_id: str) -> ResponseReturnValue:
        """Refuse the key from now on, everywhere."""
        self._keys.revoke(caller().principal, key_id, acting())
        return self._sheets.board("key", "The key is revoked.", **self._one(self._key(key_id)))

    def _key(self, key_id: str) -> KeyRow:
        return self._keys.key(caller().principal.tenant_id, key_id)

    def _require_proof(self, row: KeyRow) -> None:
        if Scope.PLACE_ORDERS in row.scopes:
            self._sessions.require_step_up(caller())

    def _listed(self, form: Form | None = None, made: NewApiKey | None = None) -> dict[str, Any]:
        principal = caller().principal
        found = self._keys.keys(principal.tenant_id)
        empty = Form(values={**dict.fromkeys(TERMS, ""), "kind": "live"}, ticked={"scopes": (), "account_ids": ()})
        return {
            "keys": found,
            "owners": self._rows.people(principal, (f"user:{one.user_id}" for one in found)),
            "all_scopes": [scope for scope in Scope if scope in principal.scopes],
            "accounts": self._rows.accounts(principal),
            "form": form or empty,
            "made": made,
            **self._words(),
        }

    def _one(self, row: KeyRow, form: Form | None = None, made: NewApiKey | None = None) -> dict[str, Any]:
        principal = caller().principal
        return {
            "key": row,
            "owner": self._rows.people(principal, [f"user:{row.user_id}"])[f"user:{row.user_id}"],
            "names": {one.account_id: one.name for one in self._rows.accounts(principal)},
            "form": form or _form_of(row),
            "made": made,
            "overlaps": OVERLAPS,
            **self._words(),
        }

    def _words(self) -> dict[str, Any]:
        now = self._clock()
        return {"state_of": lambda row: STATES[state_of(row, now)]}


def state_of(row: KeyRow, now: datetime) -> str:
    """How a key stands: a word of STATES."""
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "rotating" if row.previous_until is not None and row.previous_until > now else "active"


def _wish(form: Form) -> KeyWish:
    values = form.values
    if not 1 <= len(values["name"]) <= LONGEST_NAME:
        raise InvalidRequest(f"a name of 1 to {LONGEST_NAME} characters is needed", field="name")
    accounts = tuple(AccountId(one) for one in form.ticked.get("account_ids", ()))
    return KeyWish(
        name=values["name"],
        scopes=form.ticked.get("scopes", ()),
        account_ids=accounts or None,
        expires_at=forms.instant(values["expires_at"], "expires_at"),
        is_test=values.get("kind") == "test",
        networks=forms.words(values["networks"]),
        requests_per_s=forms.count(values["requests_per_s"], "requests_per_s"),
        burst=forms.count(values["burst"], "burst"),
    )


def _form_of(row: KeyRow) -> Form:
    return Form(
        values={
            "name": row.name,
            "expires_at": row.expires_at.strftime("%Y-%m-%dT%H:%M") if row.expires_at is not None else "",
            "networks": "\n".join(row.networks),
            "requests_per_s": str(row.quota_per_s or ""),
            "burst": str(row.quota_burst or ""),
        }
    )
