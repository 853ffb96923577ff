"""The embedded default's mail: printed, and kept for the mailbox page.

Messages are files under `DATA_DIR/mail`, so that every process sees them.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from aiassist.lib.clock import now, rfc3339
from aiassist.lib.ids import new_id

if TYPE_CHECKING:  # apps.py reads this file before there are models
    from accounts.models import User

MAX_MESSAGES = 50


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as the mailbox page shows it."""

    id: str
    sent_at: str  # RFC 3339
    sender: str
    recipients: list[str]
    subject: str
    body: str
    html: str  # "": there is only text


class MailboxBackend(BaseEmailBackend):
    """Shows mail instead of sending it."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Print and keep each message; returns how many."""
        for message in email_messages:
            stored = _as_stored(message)
            _print(stored)
            _keep(stored)
        _drop_old()
        return len(email_messages)


def list_messages() -> list[StoredMessage]:
    """Return the last 50 messages, newest first."""
    return [StoredMessage(**json.loads(file.read_text())) for file in _files()]


def clear() -> None:
    """Delete all messages."""
    for file in _files():
        file.unlink(missing_ok=True)


def forget_mails_to(user: "User") -> int:
    """Delete what was sent to an erased user; return how many messages."""
    theirs = apps.get_model("account", "EmailAddress")._base_manager.filter(user=user)
    own = {user.email, *theirs.values_list("email", flat=True)}
    found = [
        file
        for file in _files()
        if own.intersection(json.loads(file.read_text())["recipients"])
    ]
    for file in found:
        file.unlink(missing_ok=True)
    return len(found)


def _as_stored(message: EmailMessage) -> StoredMessage:
    alternatives = getattr(message, "alternatives", [])
    html = [text for text, kind in alternatives if kind == "text/html"]
    return StoredMessage(
        id=new_id("mail"),
        sent_at=rfc3339(now()),
        sender=message.from_email,
        recipients=list(message.recipients()),
        subject=str(message.subject),
        body=str(message.body),
        html=str(html[0]) if html else "",
    )


def _print(message: StoredMessage) -> None:
    rule = "─" * 72
    sys.stdout.write(
        f"{rule}\nMail to {', '.join(message.recipients)}: {message.subject}\n\n"
        f"{message.body}\n{rule}\n"
    )
    sys.stdout.flush()


def _keep(message: StoredMessage) -> None:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{message.sent_at.replace(':', '')}-{message.id}.json"
    # Written aside and moved, so that a reader never sees half a message.
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(asdict(message), ensure_ascii=False))
    aside.replace(file)


def _drop_old() -> None:
    for file in _files()[MAX_MESSAGES:]:
        file.unlink(missing_ok=True)


def _files() -> list[Path]:
    """Return the message files, newest first."""
    return sorted(_folder().glob("*.json"), reverse=True)


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "mail"
