"""Commands of whoever runs the platform: wired services on the database of this machine in, clear sentences out.

They need no API and no key: who may read the settings may do what they do. Changes are recorded as the command line's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from oms_app.cli.errors import CommandFailed
from oms_app.config import load_settings

if TYPE_CHECKING:
    from oms_app.bootstrap import Services


@contextmanager
def services_here() -> Iterator[Services]:
    """The services on the configured database. Raises CommandFailed for whatever they refuse."""
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.bootstrap import build_services
    from oms_app.flow.errors import FlowError
    from oms_app.store.unit_of_work import CommitUnknown, StoreUnavailable
    from oms_kernel.domain.errors import KernelError

    services = build_services(load_settings())
    try:
        yield services
    except (FlowError, KernelError) as error:
        fix = getattr(error, "fix", None)
        at = f"{error.field}: " if error.field else ""
        raise CommandFailed(f"{at}{error.detail}" + (f"\n  fix: {fix}" if fix else "")) from None
    except (SQLAlchemyError, StoreUnavailable, CommitUnknown) as error:
        raise CommandFailed(
            f"the database does not serve ({type(error).__name__})\n  fix: `oms db upgrade`, or see `oms doctor`"
        ) from None
    finally:
        services.close()


def asked_password() -> str:
    """A password typed twice without echo, or the one line that a program pipes in."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
