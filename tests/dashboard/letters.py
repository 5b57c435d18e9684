"""The mails that the system wrote into its outbox: send what is due, read what came last."""

import email
import email.policy
import re

from oms_app.bootstrap import Services
from oms_app.flow.mail import OUTBOX

_LINK = re.compile(r"https?://[^\s#]+(/[a-z-]+#\S+)")


def link_to(services: Services, address: str) -> str:
    """Path and token of the link in the newest mail to the address, after sending what is due."""
    services.mailing.send_due()
    found = ""
    for file in sorted((services.settings.home / OUTBOX).iterdir(), key=lambda one: (one.stat().st_mtime_ns, one.name)):
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        if address in str(message["To"]):
            match = _LINK.search(message.get_content())
            found = match.group(1) if match is not None else found
    assert found, f"no mail with a link came to {address}"
    return found


def token_of(link: str) -> str:
    """What stands behind the `#`."""
    return link.partition("#")[2]
