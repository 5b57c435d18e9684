"""A request in, the grant or refusal of its quotas out: its address's, its caller's, its tenant's, in this order.

Each kind of request draws from supplies of its own, so that no order traffic, of whomever, stands before a cancel.
The caller's bucket in this process answers first; what all processes share is asked for in shares.
"""

import msgspec

from oms_app.api.rate_limit import Bucket, Grant, Rate, RateLimiter
from oms_app.api.shared_quotas import SharedQuotas
from oms_app.config import Settings

WIDER = 10
"""A tenant's and an address's quota, in quotas of one caller, where no setting says otherwise."""
SIGN_IN = Rate(per_s=1.0, burst=20.0)
_LIMITED = (Bucket.ORDERS, Bucket.CANCELS, Bucket.READS)


class QuotaRates(msgspec.Struct, frozen=True):
    """How much of each kind of request one caller, one tenant and one address may send."""

    caller: Rate
    tenant: Rate
    address: Rate


def rates_of(settings: Settings) -> QuotaRates:
    """The rates that the settings ask for."""
    caller = Rate(per_s=settings.rate_limit_per_s, burst=float(settings.rate_limit_burst))
    return QuotaRates(
        caller=caller,
        tenant=_wider(caller, settings.tenant_rate_limit_per_s),
        address=_wider(caller, settings.address_rate_limit_per_s),
    )


def _wider(caller: Rate, per_s: float | None) -> Rate:
    per_s = per_s if per_s is not None else caller.per_s * WIDER
    return Rate(per_s=per_s, burst=max(1.0, caller.burst * per_s / caller.per_s))


class Quotas:
    """The quotas in front of every route. Thread-safe. local: the callers' buckets of this process."""

    def __init__(self, rates: QuotaRates, local: RateLimiter, shared: SharedQuotas, *, is_shared: bool) -> None:
        self._rates = rates
        self._local = local
        self._shared = shared
        self._is_shared = is_shared

    def at_door(self, bucket: Bucket, address: str) -> Grant | None:
        """A refusal, when too much comes from the address; None otherwise. Asked before anybody is recognised."""
        if bucket in _LIMITED and not self._shared.take(bucket, "address", address, self._rates.address):
            return _refusal(bucket, "address", self._rates.address)
        return None

    def of_caller(
        self, bucket: Bucket, who: str, tenant_id: str | None, own: tuple[int, int] | None = None, cost: int = 1
    ) -> Grant | None:
        """Whether the caller may go on, by its own quota and its tenant's; None where no limit is set.

        own: (requests a second, burst) of the key itself.
        """
        rate = Rate(per_s=float(own[0]), burst=float(own[1])) if own is not None else None
        grant = self._local.take(bucket, who, cost, rate)
        if grant is None or not grant.allowed:
            return grant
        # Without Redis the shared count would be this process's own again.
        if self._is_shared:
            usual = SIGN_IN if bucket is Bucket.SIGN_IN else self._rates.caller
            if not self._shared.take(bucket, "caller", who, rate or usual, cost):
                return _refusal(bucket, "caller", rate or usual)
        if tenant_id is not None and bucket in _LIMITED:
            if not self._shared.take(bucket, "tenant", tenant_id, self._rates.tenant, cost):
                return _refusal(bucket, "tenant", self._rates.tenant)
        return grant

    def charge(self, bucket: Bucket, who: str, tenant_id: str, own: tuple[int, int] | None, cost: int) -> None:
        """Let a request that was granted pay for more: it overdraws its bucket, and empties the shared quotas."""
        rate = Rate(per_s=float(own[0]), burst=float(own[1])) if own is not None else None
        self._local.take(bucket, who, cost, rate)
        if self._is_shared:
            self._shared.drain(bucket, "caller", who, rate or self._rates.caller, cost)
        self._shared.drain(bucket, "tenant", tenant_id, self._rates.tenant, cost)


def make_quotas(settings: Settings, local: RateLimiter, shared: SharedQuotas) -> Quotas:
    """The quotas that the settings ask for."""
    return Quotas(rates_of(settings), local, shared, is_shared=settings.redis_url is not None)


def local_rates(settings: Settings) -> dict[Bucket, Rate]:
    """The rate of each kind of request for one caller in one process."""
    caller = rates_of(settings).caller
    return {**dict.fromkeys(_LIMITED, caller), Bucket.SIGN_IN: SIGN_IN}


def _refusal(bucket: Bucket, scope: str, rate: Rate) -> Grant:
    # A sliding window lets the next one in after its share of the window.
    return Grant(
        allowed=False,
        limit=int(rate.burst),
        remaining=0,
        wait_s=max(1.0 / rate.per_s, 0.001),
        policy=f"{bucket.value}-{scope}",
        window_s=rate.window_s,
        full_s=float(rate.window_s),
    )
