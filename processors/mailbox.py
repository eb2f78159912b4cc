"""Where mail goes: into a folder, one `.eml` file each, or to a mail server: BOOKSTORE_SMTP_URL=smtp://host:port."""

from __future__ import annotations

import os
import smtplib
from email.message import Message
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol
from urllib.parse import unquote, urlsplit

from hybrid import Settings, resource
from hybrid.errors import SettingsError

SMTP_SECONDS = 10
"""How long the mail server may take to answer."""


class Mailbox(Protocol):
    """Takes mails."""

    def deliver(self, mail: Message, name: str) -> None:
        """Deliver a mail. The same mail comes under the same name, also when it is delivered again."""


class FolderMailbox:
    """Writes mails into a folder, whole or not at all. A mail delivered again replaces its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def deliver(self, mail: Message, name: str) -> None:
        """Write `name`.eml."""
        with NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".part", delete=False) as part:
            part.write(mail.as_bytes())
        Path(part.name).replace(self.folder / f"{name}.eml")


class SmtpMailbox:
    """Hands mails to a mail server. One handed over again, after a crash, has the same Message-ID."""

    def __init__(self, host: str, port: int, user: str = "", password: str = "") -> None:
        self.host, self.port, self.user, self._password = host, port, user, password

    def deliver(self, mail: Message, name: str) -> None:
        """Hand the mail over, and return when the server has taken it."""
        with smtplib.SMTP(self.host, self.port, timeout=SMTP_SECONDS) as server:
            if self.user:
                server.starttls()
                server.login(self.user, self._password)
            server.send_message(mail)


@resource
def mailbox(settings: Settings) -> Mailbox:
    """Return the mail server that is configured, else the folder `outbox` in the data directory.

    Raises SettingsError for an address that is none.
    """
    url = os.environ.get("BOOKSTORE_SMTP_URL")
    if not url:
        return FolderMailbox(settings.directory / "outbox")
    parts = urlsplit(url)
    if parts.scheme != "smtp" or not parts.hostname:
        raise SettingsError("BOOKSTORE_SMTP_URL: looks like smtp://host:25 or smtp://user:password@host:587")
    return SmtpMailbox(
        parts.hostname, parts.port or 25, unquote(parts.username or ""), unquote(parts.password or "")
    )
