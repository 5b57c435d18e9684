"""The mail that a home's outbox holds, as the one who reads it sees it."""

import email
import re
from email.message import Message
from email.policy import default
from pathlib import Path

from oms_app.bootstrap import Services
from oms_app.flow.mail import OUTBOX


class Mailbox:
    """Everything that was sent from a home without a mail server, the oldest first."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.folder: Path = services.settings.home / OUTBOX

    def fetch(self) -> list["Letter"]:
        """All letters, after what is due has been sent."""
        while self._services.mailing.send_due():
            """There may be more than are sent at once."""
        return [Letter(path) for path in sorted(self.folder.glob("*.eml"))]

    def last(self, address: str) -> "Letter":
        """The newest letter to an address."""
        return [letter for letter in self.fetch() if letter.address == address][-1]


class Letter:
    """One .eml file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.message: Message = email.message_from_bytes(path.read_bytes(), policy=default)
        self.address = str(self.message["To"])
        self.title = str(self.message["Subject"])
        payload = self.message.get_payload(decode=True)
        self.text = payload.decode() if isinstance(payload, bytes) else ""

    @property
    def token(self) -> str:
        """What follows behind the # of its link."""
        found = re.search(r"https?://\S+#(\S+)", self.text)
        assert found is not None, self.text
        return found[1]
