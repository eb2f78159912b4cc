"""Mail: whole files, one for each mail, or a mail server."""

import asyncio
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from hybrid import Settings, TaskEscalated, TaskOpened, TaskReminded
from hybrid.errors import SettingsError
from processors import mailbox as mailboxes
from processors.messages.mail import EmailCustomer, MailAbout
from processors.notification import TEXTS, Mail, email_customer, email_people

FACTS = {
    MailAbout.ORDER_RECEIVED: {"books": "1 × Émile", "total": "1"},
    MailAbout.PAYMENT_DENIED: {"reason": "card declined"},
    MailAbout.WHAT_HAPPENS_NEXT: {"total": "1", "receipt": "R-1", "short": ""},
    MailAbout.ORDER_SHIPPED: {"carrier": "Post", "tracking": "LP1", "days": "2"},
    MailAbout.ORDER_CANCELLED: {},
    MailAbout.APPROVAL_NEEDED: {"copies": "120"},
    MailAbout.INVOICE_SENT: {"number": "I-1", "total": "1", "purchase_order": "", "days": "30"},
    MailAbout.INVOICE_REMINDER: {"number": "I-1", "total": "1", "days": "20"},
    MailAbout.INVOICE_SETTLED: {"number": "I-1", "total": "1", "short": ""},
    MailAbout.ORDER_REFUSED: {"reason": "it was not approved"},
    MailAbout.ORDER_CLOSED: {},
}


def mail(about=MailAbout.ORDER_RECEIVED):
    return EmailCustomer(
        order_id="B-AAAA-BBBB-CCCC", to="ada@example.org", name="Ada Löwe", about=about, facts=FACTS[about]
    )


def outbox(desk):
    return sorted(path.name for path in desk.mailbox.folder.iterdir())


@pytest.mark.parametrize("about", TEXTS)
def test_each_text_can_be_mailed(desk, about):
    reply = desk.call(email_customer, mail(about), "flow/1/2", mailbox=desk.mailbox)
    assert reply.about == about
    assert outbox(desk) == ["flow.1.2.eml"]
    written = (desk.mailbox.folder / "flow.1.2.eml").read_bytes()
    read = message_from_bytes(written, policy=policy.default)
    assert read["To"] == "ada@example.org"
    assert "B-AAAA-BBBB-CCCC" in read["Subject"]
    assert "Dear Ada Löwe," in read.get_content()


def test_a_mail_delivered_again_is_one_mail(desk):
    first = mail()
    desk.call(email_customer, first, "a/1/2", mailbox=desk.mailbox)
    before = (desk.mailbox.folder / "a.1.2.eml").read_bytes()
    with desk.rows() as session:  # as if the crash had come before the commit
        session.delete(session.get_one(Mail, "a/1/2"))
        session.connection().exec_driver_sql("DELETE FROM hybrid_inbox")
        session.commit()
    desk.call(email_customer, first, "a/1/2", mailbox=desk.mailbox)
    assert outbox(desk) == ["a.1.2.eml"]
    assert (desk.mailbox.folder / "a.1.2.eml").read_bytes() == before


ASKED = {
    "task": "flow-1/3",
    "flow": "flow-1",
    "step": 3,
    "question": "Approve order B-AAAA-BBBB-CCCC?",
    "for_": "manager",
    "about": {"order_id": "B-AAAA-BBBB-CCCC", "total": "16,299.98", "purchase_order": ""},
    "due": datetime(2026, 12, 1, 9, 30, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("event", "subject", "to"),
    [
        (TaskOpened(**ASKED, choices=["approve"]), "Approve order B-AAAA-BBBB-CCCC?", "manager"),
        (
            TaskReminded(**ASKED, times=1, claimed_by=""),
            "Reminder: Approve order B-AAAA-BBBB-CCCC?",
            "manager",
        ),
        (
            TaskEscalated(**{**ASKED, "for_": "director"}, was_for="manager", claimed_by=""),
            "Approve order B-AAAA-BBBB-CCCC?",
            "director",
        ),
        (
            TaskOpened(**{**ASKED, "for_": "a b\u00e9c@evil.example", "about": {}, "due": None}, choices=[]),
            "Approve order B-AAAA-BBBB-CCCC?",
            "everyone",
        ),
    ],
)
def test_those_who_are_asked_are_mailed(desk, event, subject, to):
    desk.call(email_people, event, "flow-1/3/opened", mailbox=desk.mailbox)
    (name,) = outbox(desk)
    read = message_from_bytes((desk.mailbox.folder / name).read_bytes(), policy=policy.default)
    assert (read["Subject"], read["To"]) == (subject, f"{to}@bookstore.example")
    text = read.get_content()
    assert "hybrid tasks complete flow-1/3" in text
    assert ("decided by 2026-12-01 09:30 UTC" in text) == (event.due is not None)
    assert "purchase_order" not in text
    with desk.rows() as session:
        row = session.get_one(Mail, "flow-1/3/opened")
        assert (row.about, row.order_id) == (event.type_name, event.about.get("order_id", ""))


async def test_over_smtp(desk, monkeypatch, tmp_path):
    received = bytearray()

    async def serve(reader, writer):
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                received.extend(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("BOOKSTORE_SMTP_URL", f"smtp://127.0.0.1:{port}")
    box = mailboxes.mailbox.function(Settings.load(directory=tmp_path))
    await asyncio.to_thread(desk.call, email_customer, mail(), "m1", mailbox=box)
    server.close()
    await server.wait_closed()
    assert b"Message-ID: <m1@bookstore.example>" in received
    assert outbox(desk) == []


@pytest.mark.parametrize("url", ["http://host", "smtp://", "host:25"])
def test_an_address_that_is_none_is_refused(monkeypatch, tmp_path, url):
    monkeypatch.setenv("BOOKSTORE_SMTP_URL", url)
    with pytest.raises(SettingsError, match="BOOKSTORE_SMTP_URL"):
        mailboxes.mailbox.function(Settings.load(directory=tmp_path))
