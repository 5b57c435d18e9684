"""Mail: due with the change that it tells of, sent once, tried again later, and never told about in a log."""

import email
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import select, update

from oms_app.config import SettingsError, SmtpTls, read_settings
from oms_app.flow.mail import FolderMailer, MailFailed, Message, SmtpMailer, SmtpSettings
from oms_app.flow.mail_kinds import MAILS, MailKind, worded
from oms_app.flow.mailing import RETRY_AFTER, Mailing
from oms_app.store import migrate, one_time_tokens, purging
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import ONE_TIME_TOKENS, OUTGOING_MAILS
from oms_app.workers.posting import Posting

ADDRESS = "anna@example.com"
MESSAGE = Message(message_id="m1", address=ADDRESS, title="Hello\nBcc: x@evil.example", text="Text\nwith lines\n")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Outbox:
    """A mailer that keeps what it is given, and fails as it is told."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.failures: list[MailFailed] = []

    def send(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)


class Desk:
    """A mailing on a fresh database."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.store = SqlStore(url, clock=self.clock)
        self.outbox = Outbox()
        self.ids = iter(f"00000000-0000-0000-0000-{number:012}" for number in range(1, 1000))
        self.mailing = Mailing(self.store, self.outbox, lambda: next(self.ids), url="https://oms.example/")

    def post(self, kind: MailKind = MailKind.RESET_PASSWORD) -> bool:
        with self.store.platform_unit() as unit:
            return self.mailing.post(unit, kind, ADDRESS, "subject-1", params={"at": "noon"})

    def status(self) -> list[tuple[str, int]]:
        with self.store.read_unit(None) as unit:
            rows = unit.connection.execute(select(OUTGOING_MAILS.c.status, OUTGOING_MAILS.c.attempts))
            return [(row.status, row.attempts) for row in rows]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("mail") / "oms.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def desk(migrated: bytes, tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "oms.db").write_bytes(migrated)
    made = Desk(f"sqlite:///{tmp_path}/oms.db")
    yield made
    made.store.close()


def token_of(message: Message) -> str:
    return message.text.partition("#")[2].split()[0]


def test_a_mail_goes_out_only_if_its_change_is_stored(desk: Desk) -> None:
    with pytest.raises(RuntimeError), desk.store.platform_unit() as unit:
        desk.mailing.post(unit, MailKind.RESET_PASSWORD, ADDRESS, "subject-1")
        raise RuntimeError
    assert desk.mailing.send_due() == 0
    desk.post()
    assert desk.mailing.send_due() == 1
    assert desk.mailing.send_due() == 0
    assert [message.address for message in desk.outbox.sent] == [ADDRESS]


def test_its_token_works_once_before_it_expires_and_voids_the_others(desk: Desk) -> None:
    desk.post()
    desk.post()
    desk.mailing.send_due()
    first, second = (token_of(message) for message in desk.outbox.sent)
    with desk.store.platform_unit() as unit:
        assert one_time_tokens.look(unit, MailKind.INVITATION, first) is None
        ticket = one_time_tokens.use(unit, MailKind.RESET_PASSWORD, first)
        assert ticket is not None and ticket.subject == "subject-1"
        assert one_time_tokens.use(unit, MailKind.RESET_PASSWORD, first) is None
        assert one_time_tokens.use(unit, MailKind.RESET_PASSWORD, second) is None
    desk.post()
    desk.mailing.send_due()
    desk.clock.now += timedelta(minutes=31)
    with desk.store.platform_unit() as unit:
        assert one_time_tokens.use(unit, MailKind.RESET_PASSWORD, token_of(desk.outbox.sent[-1])) is None


def test_a_mail_that_fails_is_tried_again_by_the_table_and_dies_at_its_end(desk: Desk) -> None:
    desk.post()
    desk.outbox.failures = [MailFailed("away", retry=True)] * (len(RETRY_AFTER) + 1)
    for wait in RETRY_AFTER:
        assert desk.mailing.send_due() == 0
        assert desk.mailing.due() == {}
        desk.clock.now += wait
    assert desk.status() == [("PENDING", len(RETRY_AFTER))]
    desk.mailing.send_due()
    assert desk.status() == [("DEAD", len(RETRY_AFTER) + 1)]


def test_a_refused_address_is_not_tried_again(desk: Desk) -> None:
    desk.post()
    desk.outbox.failures = [MailFailed("no such mailbox (550)", retry=False)]
    desk.mailing.send_due()
    assert desk.status() == [("DEAD", 1)]


def test_a_worker_that_died_while_sending_leaves_the_mail_to_the_next(desk: Desk) -> None:
    class Died(BaseException):
        """The process ended."""

    desk.post()
    desk.outbox.failures = [Died()]  # type: ignore[list-item]
    with pytest.raises(Died):
        desk.mailing.send_due()
    assert desk.mailing.send_due() == 0
    desk.clock.now += timedelta(minutes=2)
    assert desk.mailing.send_due() == 1


def test_two_workers_send_a_mail_once(desk: Desk) -> None:
    desk.post()
    (mail_id,) = desk.mailing.due()
    senders = [threading.Thread(target=desk.mailing.send, args=(mail_id,)) for _ in range(4)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    assert len(desk.outbox.sent) == 1


def test_what_is_due_is_hinted_at_once_in_a_while(desk: Desk) -> None:
    hints: list[tuple[str, str]] = []
    now = 0.0
    posting = Posting(desk.mailing, lambda name, mail_id: hints.append((name, mail_id)), clock=lambda: now)
    desk.post()
    for moment in (0.0, 0.5, 1.5, 4.0):
        now = moment
        posting.turn()
    assert [name for name, _ in hints] == ["send_mail"]
    now = 7.0
    posting.turn()
    assert len(hints) == 2


def test_old_mail_and_old_tokens_are_deleted(desk: Desk) -> None:
    desk.post()
    desk.mailing.send_due()
    desk.post()
    desk.clock.now += timedelta(days=8)
    with desk.store.platform_unit() as unit:
        assert purging.mail(unit, unit.now - timedelta(days=7)) == 1
        assert purging.one_time_tokens(unit, unit.now - timedelta(days=7)) == 1
    assert desk.status() == [("PENDING", 0)]


def test_the_token_stands_behind_a_hash_and_in_no_row_and_no_log(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.post()
    desk.mailing.send_due()
    (message,) = desk.outbox.sent
    token = token_of(message)
    assert f"https://oms.example/reset-password#{token}" in message.text
    with desk.store.read_unit(None) as unit:
        rows = [*unit.connection.execute(select(OUTGOING_MAILS)), *unit.connection.execute(select(ONE_TIME_TOKENS))]
    assert token not in repr(rows)
    out, err = capfd.readouterr()
    assert token not in out + err
    assert ADDRESS not in out + err


def test_a_claimed_mail_of_a_kind_that_this_build_does_not_know_waits(desk: Desk) -> None:
    desk.post()
    with desk.store.platform_unit() as unit:
        unit.connection.execute(update(OUTGOING_MAILS).values(kind="carrier_pigeon", updated_at=unit.now))
    with pytest.raises(ValueError, match="carrier_pigeon"):
        desk.mailing.send_due()
    assert desk.status() == [("PENDING", 0)]


@pytest.mark.parametrize("kind", list(MailKind))
def test_every_kind_has_words_and_names_its_link(kind: MailKind) -> None:
    params = {"tenant": "{link}", "inviter": "a", "role": "ADMIN", "at": "noon"}
    title, text = worded(kind, params, "https://x#t")
    assert title and "https://x#t" in text
    assert (MAILS[kind].lasting is None) == (MAILS[kind].page == "/login")


# By file and by SMTP ----------------------------------------------------------------------------------------


def test_without_a_mail_server_a_message_is_a_file_for_this_user_only(tmp_path: Path) -> None:
    FolderMailer(tmp_path / "outbox", "OMS <oms@x.example>", Clock()).send(MESSAGE)
    (path,) = (tmp_path / "outbox").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    text = path.read_text()
    assert "Subject: Hello Bcc: x@evil.example" in text
    assert "\nBcc:" not in text
    assert "Message-ID: <m1@x.example>" in text


def test_a_long_link_stays_in_one_piece_and_other_letters_arrive(tmp_path: Path) -> None:
    link = "https://a-rather-long-host-name.of-somebody.example/invitation#" + "t" * 60
    mailer = FolderMailer(tmp_path, "oms@x.example", Clock())
    mailer.send(Message(message_id="m2", address=ADDRESS, title="x", text=f"Open\n{link}\n"))
    mailer.send(Message(message_id="m3", address=ADDRESS, title="Söhne", text=f"Söhne\n{link}\n"))
    plain, other = (path.read_bytes() for path in sorted(tmp_path.glob("*.eml")))
    assert link.encode() in plain
    read = email.message_from_bytes(other, policy=default)
    assert (str(read["Subject"]), read.get_content()) == ("Söhne", f"Söhne\n{link}\n")  # type: ignore[attr-defined]


def test_an_outbox_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with pytest.raises(MailFailed) as caught:
        FolderMailer(tmp_path / "outbox", "oms@x.example", Clock()).send(MESSAGE)
    assert caught.value.retry


class _Smtp(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as a client needs, and refuses as its server is told."""

    def handle(self) -> None:
        said: dict[str, str] = self.server.answers  # type: ignore[attr-defined]
        lines: list[str] = self.server.lines  # type: ignore[attr-defined]
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            words = line.decode().strip()
            lines.append(words)
            verb = words[:4].upper()
            if verb == "DATA":
                self.wfile.write(b"354 go on\r\n")
                while (part := self.rfile.readline()).strip() != b".":
                    lines.append(part.decode().rstrip())
            self.wfile.write(f"{said.get(verb, '250 fine')}\r\n".encode())
            if verb == "QUIT":
                return


@contextmanager
def smtp_server(**answers: str) -> Iterator[tuple[SmtpSettings, list[str]]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.daemon_threads = True
        server.answers = answers  # type: ignore[attr-defined]
        server.lines = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings = SmtpSettings(host="127.0.0.1", port=server.server_address[1], tls=SmtpTls.NONE, timeout_s=5)
        yield settings, server.lines  # type: ignore[attr-defined]
        server.shutdown()


def test_a_message_goes_to_the_mail_server() -> None:
    with smtp_server() as (settings, lines):
        SmtpMailer(settings, "OMS <oms@x.example>", Clock()).send(MESSAGE)
    assert any(line.lower().startswith("mail from:<oms@x.example>") for line in lines)
    assert any(line.lower().startswith(f"rcpt to:<{ADDRESS}>") for line in lines)
    assert "with lines" in lines


REFUSALS = [
    ({"RCPT": "550 no such mailbox anna@example.com"}, False),
    ({"RCPT": "450 later"}, True),
    ({"DATA": "554 spam"}, False),
    ({"MAIL": "421 busy"}, True),
]


@pytest.mark.parametrize(("answers", "retry"), REFUSALS, ids=[str(answers) for answers, _ in REFUSALS])
def test_what_the_server_says_decides_whether_it_is_tried_again(answers: dict[str, str], retry: bool) -> None:
    with smtp_server(**answers) as (settings, _), pytest.raises(MailFailed) as caught:
        SmtpMailer(settings, "oms@x.example", Clock()).send(MESSAGE)
    assert caught.value.retry is retry
    assert ADDRESS not in caught.value.text


def test_nothing_is_sent_in_clear_where_encryption_is_wanted() -> None:
    with smtp_server() as (settings, lines), pytest.raises(MailFailed) as caught:
        encrypted = SmtpSettings(host=settings.host, port=settings.port, user="u", password="canary", timeout_s=5)
        SmtpMailer(encrypted, "oms@x.example", Clock()).send(MESSAGE)
    assert caught.value.retry
    assert "canary" not in repr(encrypted)
    assert not any(line.upper().startswith(("AUTH", "MAIL")) for line in lines)


def test_a_server_that_is_away_is_tried_again() -> None:
    with smtp_server() as (settings, _):
        pass
    with pytest.raises(MailFailed) as caught:
        SmtpMailer(settings, "oms@x.example", Clock()).send(MESSAGE)
    assert caught.value.retry


def test_a_password_without_encryption_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="OMS_SMTP_TLS"):
        read_settings({"OMS_SMTP_HOST": "mail.example", "OMS_SMTP_USER": "u", "OMS_SMTP_TLS": "none"})
