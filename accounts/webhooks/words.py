"""What people read for the names of events, of outcomes, and of why it is quiet."""

from accounts.models import Webhook, WebhookDelivery

EVENTS = {
    "job.succeeded": "An index is ready",
    "job.failed": "An index could not be made",
    "job.cancelled": "Indexing was cancelled",
    "key.created": "An API key was made",
    "key.rotated": "An API key got a successor",
    "key.revoked": "An API key was revoked",
    "key.expiring": "An API key is about to expire",
    "subscription.changed": "Your tier changed",
    "quota.warning": "A quota is nearly used up",
    "quota.exceeded": "A quota is used up",
}
OUTCOMES = {
    "delivered": "accepted",
    "refused": "refused",
    "redirected": "redirected, and no redirect is followed",
    "gone": "gone, so the webhook was disabled",
    "egress_timeout": "no answer within ten seconds",
    "unreachable": "no connection",
    "answer_malformed": "the answer was no HTTP",
    "address_refused": "the name leads to an address that is not public",
    "secret_unreadable": "the secret cannot be read any more: rotate it",
    "interrupted": "the last try was interrupted",
    "webhook_disabled": "given up when the webhook was disabled",
}
QUIET = {
    Webhook.Disabled.BY_USER: "You disabled it.",
    Webhook.Disabled.GONE: "Its server answered 410 Gone.",
    Webhook.Disabled.FAILING: "Nothing got through for three days.",
    Webhook.Disabled.OVERFLOWING: "More messages waited than are kept.",
}


def outcome_of(delivery: WebhookDelivery) -> str:
    """Return e.g. `Answered 500: refused`, of the last try."""
    if not delivery.outcome:
        return "Not tried yet"
    told = OUTCOMES.get(delivery.outcome, delivery.outcome)
    if delivery.response_status is None:
        return told.capitalize()
    return f"Answered {delivery.response_status}: {told}"
