"""A run of the witness strategy: started and stopped over the API, and what it was told held to its orders."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from campaigns.asking import Stuck, must
from campaigns.checks import Kind, Violation
from campaigns.clients import Client
from campaigns.witness import FOLLOWS
from oms_app.cli.demo import TENANT_ID
from oms_app.store import tables as t
from oms_app.store.sql_store import SqlStore

PARAMS = {"symbol": "EURUSD", "quantity": "1000", "every": 4}


class WitnessRun:
    """One run. told: the file in which the strategy notes what it hears."""

    def __init__(self, store: SqlStore, client: Client, told: Path) -> None:
        self._store = store
        self._client = client
        self._told = told
        self._strategy_id = ""
        self._run_id = ""
        self._stopped_after = 0

    def start(self, account_id: str) -> None:
        """Make the strategy and start it. Raises Stuck."""
        body = {"name": "witness", "strategy": "echo", "account_id": account_id, "params": PARAMS}
        self._strategy_id = must(self._client, "POST", "/api/v1/strategies", body, 201)["strategy_id"]
        path = f"/api/v1/strategies/{self._strategy_id}/start"
        self._run_id = must(self._client, "POST", path, None, 201)["run_id"]

    def stop(self, head: int, settle_s: float) -> None:
        """Let it hear what happened up to `head`, then stop it; nothing when it never ran. Raises Stuck."""
        if not self._run_id:
            return
        self._stopped_after = head
        deadline = time.monotonic() + settle_s
        while not self._known() <= self._heard() and time.monotonic() < deadline:
            time.sleep(0.1)
        must(self._client, "POST", f"/api/v1/strategies/{self._strategy_id}/stop", None, 202)
        deadline = time.monotonic() + settle_s
        while True:
            status, run = self._client.ask("GET", f"/api/v1/strategies/runs/{self._run_id}")
            if status == 200 and run["status"] == "STOPPED":
                return
            if time.monotonic() > deadline:
                raise Stuck(f"the strategy's run did not stop: {run}")
            time.sleep(0.1)

    def violations(self) -> Iterator[Violation]:
        """Each fill that it was not told of, and each that led to no further order or to more than one.

        Of what came after its stop was about to be asked for it need not hear.
        """
        known, heard = self._known(), self._heard()
        rows = self._orders()
        follows = Counter(row.client_order_id[len(FOLLOWS) :][:36] for row in rows if row.client_order_id)
        for row in rows:
            count = follows[row.order_id]
            if row.order_id in known and row.order_id not in heard:
                yield Violation(Kind.SKIPPED, f"the strategy was not told that its order {row.order_id} is filled")
            if row.order_id in known and row.client_order_id is None and not count:
                yield Violation(Kind.SKIPPED, f"the strategy's order {row.order_id} was not followed by another")
            if count > 1:
                yield Violation(Kind.DOUBLED, f"the strategy's order {row.order_id} was followed {count} times")

    def _known(self) -> set[str]:
        """Its orders that were filled before it was to stop."""
        return {row.order_id for row in self._orders() if row.state == "FILLED" and row.version <= self._stopped_after}

    def _heard(self) -> set[str]:
        """Its orders of which it was told that they are filled."""
        lines = [line.split() for line in self._told.read_text().splitlines()]
        return {words[0] for words in lines if words[1] == "FILLED"}

    def _orders(self) -> Sequence[Any]:
        orders = t.ORDERS.c
        if not self._strategy_id:
            return ()
        query = select(orders.order_id, orders.client_order_id, orders.state, orders.version).where(
            orders.tenant_id == TENANT_ID, orders.strategy_id == self._strategy_id
        )
        with self._store.read_unit(TENANT_ID) as unit:
            return unit.connection.execute(query).all()
