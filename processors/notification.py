"""Notification: mails the customers, and the people of the shop who are asked something."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.charset import QP, Charset
from email.message import Message
from email.utils import format_datetime

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor, RetryPolicy, TaskEscalated, TaskOpened, TaskReminded
from hybrid.envelope import Envelope
from processors.database import Base
from processors.mailbox import Mailbox
from processors.messages.mail import EmailCustomer, EmailSent, MailAbout

notification = Processor("notification")

SENDER = "The Bookstore <orders@bookstore.example>"
ROLE = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""Who has a mailbox in the shop; what is for anybody else goes to everyone."""
UTF8 = Charset("utf-8")
UTF8.body_encoding = QP
PATIENT = RetryPolicy(attempts=6, first_ms=500)
"""Mail servers have their moods: the sixth attempt comes after some three minutes."""


class Mail(Base):
    """A mail that has been sent. One about a task is about an order, too, if the task says about which."""

    __tablename__ = "mails"

    message_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    order_id: Mapped[str] = mapped_column(String(20), index=True)
    recipient: Mapped[str] = mapped_column(String(254))
    about: Mapped[str] = mapped_column(String(30))
    sent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


TEXTS: dict[MailAbout, tuple[str, str]] = {
    MailAbout.ORDER_RECEIVED: (
        "We have your order {order_id}",
        "thank you for your order {order_id}:\n\n{books}\n\nIt comes to EUR {total}.",
    ),
    MailAbout.PAYMENT_DENIED: (
        "Please give us another card for your order {order_id}",
        "your card was declined: {reason}. Nothing was charged, and order {order_id} is closed.\n\n"
        "Please place it again with another card; your books are back on the shelf, waiting for you.",
    ),
    MailAbout.WHAT_HAPPENS_NEXT: (
        "What happens next with your order {order_id}",
        "your card has been charged with EUR {total} (receipt {receipt}), and your books are packed.\n\n"
        "The carrier gets your parcel now; we mail you how to follow it.{short}",
    ),
    MailAbout.ORDER_SHIPPED: (
        "Your order {order_id} is on its way",
        "{carrier} has your parcel: {tracking}.\n\nIt will take about {days} days.",
    ),
    MailAbout.ORDER_CANCELLED: (
        "We could not carry out your order {order_id}",
        "something went wrong on our side, and order {order_id} is closed.\n\n"
        "If your card was charged, the money is on its way back to you.",
    ),
    MailAbout.APPROVAL_NEEDED: (
        "Your order {order_id} takes a little longer",
        "we have to buy {copies} copies for your order {order_id}, which somebody has to approve.\n\n"
        "The money that your card was charged with goes back to you; you get an invoice when it is approved.",
    ),
    MailAbout.INVOICE_SENT: (
        "Invoice {number} for your order {order_id}",
        "your order {order_id} is approved.{purchase_order}\n\n"
        "Please transfer EUR {total} within {days} days, with the order's id. "
        "When it has come in we pack your books.",
    ),
    MailAbout.INVOICE_REMINDER: (
        "Invoice {number} for your order {order_id} is open",
        "invoice {number} over EUR {total} for your order {order_id} is not paid in full yet.\n\n"
        "We keep your books for you for another {days} days. If you have just paid it, thank you.",
    ),
    MailAbout.INVOICE_SETTLED: (
        "What happens next with your order {order_id}",
        "thank you: invoice {number} over EUR {total} is paid, and your books are packed.\n\n"
        "The carrier gets your parcel now; we mail you how to follow it.{short}",
    ),
    MailAbout.ORDER_REFUSED: (
        "We can't carry out your order {order_id}",
        "we are sorry that we can't carry out your order {order_id}: {reason}.",
    ),
    MailAbout.ORDER_CLOSED: (
        "Your order {order_id} is closed",
        "your order {order_id} is closed, and nothing will be sent.\n\n"
        "There is nothing to pay; if you have paid for it, the money is on its way back to you.",
    ),
}


@notification.on(EmailCustomer, retry=PATIENT)
def email_customer(command: EmailCustomer, context: Context, mailbox: Mailbox) -> EmailSent:
    """Mail a customer.

    The mail goes out before the transaction, so that a slow mail server keeps nobody from the database.
    After a crash between the two it goes out again: as the same file, or with the same Message-ID.
    """
    mailbox.deliver(written(command, context.envelope), _name(context.envelope))
    with context.transaction() as session:
        session.add(_sent(context.envelope, command.to, command.order_id, command.about.value))
        return EmailSent(order_id=command.order_id, about=command.about)


@notification.on(TaskOpened | TaskReminded | TaskEscalated, retry=PATIENT)
def email_people(
    event: TaskOpened | TaskReminded | TaskEscalated, context: Context, mailbox: Mailbox
) -> None:
    """Mail those whom a flow asks something: at first, again, and when somebody else is to answer."""
    mail = asked(event, context.envelope)
    mailbox.deliver(mail, _name(context.envelope))
    with context.transaction() as session:
        order_id = str(event.about.get("order_id", ""))[:20]
        session.add(_sent(context.envelope, mail["To"], order_id, event.type_name))


def written(command: EmailCustomer, envelope: Envelope) -> Message:
    """Return the mail, the same whenever it is written. Raises KeyError for a fact that its text misses."""
    facts = {**command.facts, "order_id": command.order_id}
    subject, text = TEXTS[command.about]
    body = f"Dear {command.name},\n\n{text.format_map(facts)}\n\nYours,\nThe Bookstore\n"
    return _mail(command.to, subject.format_map(facts), body, envelope)


def asked(event: TaskOpened | TaskReminded | TaskEscalated, envelope: Envelope) -> Message:
    """Return the mail about a task, the same whenever it is written."""
    again = "Reminder: " if isinstance(event, TaskReminded) else ""
    facts = "\n".join(f"{name}: {value}" for name, value in event.about.items() if value)
    due = f"\nIt has to be decided by {event.due:%Y-%m-%d %H:%M} UTC." if event.due else ""
    body = f"{event.question}\n\n{facts}\n{due}\nTo answer: hybrid tasks complete {event.task}\n"
    to = event.for_ if ROLE.fullmatch(event.for_) else "everyone"
    return _mail(f"{to}@bookstore.example", again + event.question, body, envelope)


def _mail(to: str, subject: str, body: str, envelope: Envelope) -> Message:
    mail = Message()
    mail["From"] = SENDER
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(envelope.time / 1000, UTC))
    mail["Message-ID"] = f"<{_name(envelope)}@bookstore.example>"
    mail.set_payload(body, UTF8)
    return mail


def _sent(envelope: Envelope, to: str, order_id: str, about: str) -> Mail:
    return Mail(
        message_id=envelope.id, order_id=order_id, recipient=to, about=about, sent_at=datetime.now(UTC)
    )


def _name(envelope: Envelope) -> str:
    """Return the name of a mail's file: the id of the message that it is sent for."""
    return envelope.id.replace("/", ".")
