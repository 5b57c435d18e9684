"""The command `oms`: a name on the command line in, one lazily imported command out."""

import importlib
import sys

import click

from oms_app.cli.errors import EXIT_CODES

COMMANDS = {
    "run": ("oms_app.cli.run:run", "Run the whole system on this machine until Ctrl-C."),
    "orders": ("oms_app.cli.orders:orders", "Place, list, show and cancel orders."),
    "kill": ("oms_app.cli.kill:kill", "Stop trading: throw, list and release kill switches."),
    "positions": ("oms_app.cli.reading:positions", "Show what is held."),
    "accounts": ("oms_app.cli.reading:accounts", "List the trading accounts."),
    "instruments": ("oms_app.cli.reading:instruments", "List what can be traded, and say what is known of it."),
    "calendars": ("oms_app.cli.calendars:calendars", "Show and import sessions, holidays and half days of venues."),
    "alerts": ("oms_app.cli.alerts:alerts", "List and acknowledge alerts."),
    "reconcile": ("oms_app.cli.reconciliation:reconcile", "Compare broker and book now."),
    "breaks": ("oms_app.cli.reconciliation:breaks", "List, acknowledge and resolve what differs from the broker."),
    "reports": ("oms_app.cli.reconciliation:reports", "List, book and dismiss reports that could not be booked."),
    "strategies": ("oms_app.cli.strategies:strategies", "List, create, start and stop strategies."),
    "plugins": ("oms_app.cli.plugins:plugins", "List, show and check the installed plugins."),
    "consumers": ("oms_app.cli.consumers:consumers", "Show who reads the log, and let one read again."),
    "queues": ("oms_app.cli.queues:queues", "Show the workers' queues, and list or replay what died in them."),
    "verify": ("oms_app.cli.verify:verify", "Fold every log afresh and compare every stored row."),
    "audit": ("oms_app.cli.audit:audit", "Check and export the audit trail."),
    "auth": ("oms_app.cli.auth:auth", "Change the key that tokens are signed with."),
    "users": ("oms_app.cli.users:users", "Make, list and steer people, and give them new passwords."),
    "tenants": ("oms_app.cli.tenants:tenants", "Make, list, change, close and open tenants."),
    "members": ("oms_app.cli.members:members", "List, invite, change and remove members of a tenant."),
    "risk": ("oms_app.cli.risk:risk", "List rules and limits, and apply or export all limits as one file."),
    "doctor": ("oms_app.cli.doctor:doctor", "Check this machine and its settings, and say what to fix."),
    "db": ("oms_app.cli.db:db", "Bring the database to a schema, or check it."),
    "secrets": ("oms_app.cli.secrets:secrets", "Show and change the master key that seals secrets."),
    "demo": ("oms_app.cli.demo_tenant:demo", "Make the demo tenant in a database that is there."),
    "alive": ("oms_app.cli.alive:alive", "Tell whether a process on this machine is at work."),
    "api": ("oms_app.cli.processes:api", "Serve the HTTP API and the dashboard."),
    "stream": ("oms_app.cli.processes:stream", "Serve the event stream."),
    "session": ("oms_app.cli.processes:session", "Run the sessions with the brokers."),
    "strategy": ("oms_app.cli.processes:strategy", "Run the strategies that were started."),
    "worker": ("oms_app.cli.processes:worker", "Deliver webhooks, do chores and mind the schedules."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used, so that `oms --help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name when there is no such command."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else " `oms --help` lists the commands."
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_target, text) in COMMANDS.items()])


EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<4}{text}" for code, text in EXIT_CODES.items())


@click.command(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oms-app", prog_name="oms")
def cli() -> None:
    """An order management system that runs whatever plugins are installed.

    `oms run` starts everything on this machine. Commands that ask the API find it by --url and --api-key, by OMS_URL
    and OMS_API_KEY, or by the demo.json that `oms run` writes into OMS_HOME.
    """


def main() -> None:
    """Run the command line; wrong settings end it with code 2 and one clear sentence."""
    from oms_app.config import SettingsError

    try:
        cli.main(prog_name="oms")
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
