"""People, their API keys, token families and webhooks, and the audit log."""

from accounts.models.api_key import ApiKey
from accounts.models.audit_event import AuditEvent
from accounts.models.data_export import DataExport
from accounts.models.guess_window import GuessWindow
from accounts.models.idempotent_call import IdempotentCall
from accounts.models.signing_key import SigningKey
from accounts.models.token_family import TokenFamily
from accounts.models.user import User
from accounts.models.webhook import Webhook, WebhookDelivery

__all__ = [
    "ApiKey",
    "AuditEvent",
    "DataExport",
    "GuessWindow",
    "IdempotentCall",
    "SigningKey",
    "TokenFamily",
    "User",
    "Webhook",
    "WebhookDelivery",
]
