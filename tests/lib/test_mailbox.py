"""The embedded default's mail."""

import pytest
from django.core.mail import EmailMultiAlternatives, send_mail

from aiassist import mailbox


@pytest.fixture(autouse=True)
def _here(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    settings.EMAIL_BACKEND = "aiassist.mailbox.MailboxBackend"


def test_a_mail_is_printed_and_kept(capsys):
    message = EmailMultiAlternatives("Confirm", "the link", "us@x.test", ["a@x.test"])
    message.attach_alternative("<b>the link</b>", "text/html")
    message.send()

    (kept,) = mailbox.list_messages()
    assert (kept.subject, kept.body, kept.html) == (
        "Confirm",
        "the link",
        "<b>the link</b>",
    )
    assert (kept.sender, kept.recipients) == ("us@x.test", ["a@x.test"])
    printed = capsys.readouterr().out
    assert "a@x.test: Confirm" in printed
    assert "the link" in printed


def test_the_last_fifty_are_kept_newest_first(monkeypatch):
    for number in range(mailbox.MAX_MESSAGES + 5):
        send_mail(f"mail {number}", "", "us@x.test", ["a@x.test"])
    subjects = [message.subject for message in mailbox.list_messages()]
    assert subjects == [f"mail {n}" for n in range(54, 4, -1)]


def test_an_empty_mailbox_is_empty_and_can_be_cleared():
    assert mailbox.list_messages() == []
    send_mail("s", "b", "us@x.test", ["a@x.test"])
    mailbox.clear()
    assert mailbox.list_messages() == []


def test_d5_erasing_somebody_takes_their_mails_along(alice):
    for address in (alice.user.email, "other@x.test"):
        send_mail("hello", "", "us@x.test", [address])

    assert mailbox.forget_mails_to(alice.user) == 1

    assert [m.recipients for m in mailbox.list_messages()] == [["other@x.test"]]
