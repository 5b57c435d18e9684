"""`oms demo`: a migrated database in, a tenant that can trade on the simulated broker out; safe to repeat."""

from __future__ import annotations

import click
import msgspec

from oms_app.cli.errors import CommandFailed
from oms_app.config import load_settings


@click.command()
@click.option("--seed", "feed_seed", type=int, default=7, show_default=True, help="Of the made-up quotes.")
def demo(feed_seed: int) -> None:
    """Make the demo tenant in a database that is there: an administrator, a paper account, instruments and limits.

    Its password and API key stand in OMS_HOME/demo.json, the simulated broker's configuration in
    OMS_HOME/sim_broker.json. `oms run` does all this by itself.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.bootstrap import build_services
    from oms_app.cli.demo import read_demo_file, seed, sim_broker_config, starting_prices, write_private
    from oms_app.store.unit_of_work import StoreUnavailable

    settings = load_settings()
    path = settings.home / "demo.json"
    services = build_services(settings)
    try:
        facts = seed(services, read_demo_file(path))
    except (SQLAlchemyError, StoreUnavailable) as error:
        raise CommandFailed(
            f"the database does not serve ({type(error).__name__})\n  fix: `oms db upgrade`, then try again"
        ) from None
    finally:
        services.close()
    facts = msgspec.structs.replace(facts, url=settings.url, stream_url=f"{settings.stream_url}/api/v1/stream")
    write_private(path, facts)
    feed = {"kind": "synthetic", "seed": feed_seed, "prices": starting_prices()}
    write_private(settings.home / "sim_broker.json", sim_broker_config(feed))
    click.echo(f"{path} holds the sign-in and the API key")
