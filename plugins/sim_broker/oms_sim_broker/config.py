"""The simulated broker's configuration file in, frozen settings out; unknown fields are refused with their path."""

from decimal import Decimal
from pathlib import Path

import msgspec

from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import BrokerAccountId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import ZERO
from oms_kernel.simulation.fees import FeeSettings
from oms_kernel.simulation.latency import Latency
from oms_kernel.testkit.faults import Fault


class AccountConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One account at this broker; `cash` is what it is opened with and is not looked at again."""

    broker_account_id: BrokerAccountId
    account_number: str
    base_currency: str = "USD"
    cash: Decimal = ZERO


class SyntheticFeedConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="synthetic", tag_field="kind"
):
    """A seeded random walk of every instrument, paced by the wall clock; prices are starting prices by symbol."""

    seed: int = 7
    interval_ms: int = 200
    prices: dict[str, Decimal] = {}
    size_lots: int = 100


class CsvFeedConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="csv", tag_field="kind"
):
    """A recorded day. speed: data seconds for each second of the wall clock.

    A gap in the data is waited for `longest_wait_ms` at most, then jumped.
    """

    path: str
    speed: Decimal = Decimal(1)
    loop: bool = False
    skip_unknown: bool = False
    bar_seconds: int | None = None
    longest_wait_ms: int = 5_000


class ManualFeedConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="manual", tag_field="kind"
):
    """No feed of its own: quotes and time come by message, for tests."""


class SimBrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that the simulated broker is told.

    deduplicate: refuse to take a wire id of an account twice; off, as with most brokers, so that a doubled send shows.
    """

    instruments: tuple[Instrument, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    accounts: tuple[AccountConfig, ...] = ()
    feed: SyntheticFeedConfig | CsvFeedConfig | ManualFeedConfig = SyntheticFeedConfig()
    fees: FeeSettings = FeeSettings()
    latency: Latency = Latency()
    faults: tuple[Fault, ...] = ()
    deduplicate: bool = False
    seed: int = 0


def feed_name(feed: SyntheticFeedConfig | CsvFeedConfig | ManualFeedConfig) -> str:
    """What makes a feed the same one after a restart, so that its time goes on; pace and loop may change."""
    if isinstance(feed, CsvFeedConfig):
        return f"csv {feed.path}"
    return "synthetic" if isinstance(feed, SyntheticFeedConfig) else "manual"


def read_config(path: Path) -> SimBrokerConfig:
    """The settings of a JSON file. Raises InvalidRequest with the file, the field's path and what is wrong."""
    try:
        config = msgspec.json.decode(path.read_bytes(), type=SimBrokerConfig)
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}; name a readable configuration file", field="config") from None
    except (msgspec.MsgspecError, InvalidRequest) as error:
        raise InvalidRequest(f"{path}: {error}", field="config") from None
    if isinstance(config.feed, CsvFeedConfig) and config.feed.speed <= 0:
        raise InvalidRequest(f"{path}: feed.speed must be greater than 0", field="feed.speed")
    return config
