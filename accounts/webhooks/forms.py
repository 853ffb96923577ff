"""The form of a webhook: whom to tell of what."""

from django import forms

from accounts.models import Webhook
from accounts.webhooks import words
from accounts.webhooks.events import EVENT_TYPES


class WebhookForm(forms.Form):
    """A new webhook, or another address and other events for one."""

    url = forms.CharField(
        label="Address",
        max_length=500,
        help_text="Public and https. Nothing is sent until something happens.",
        widget=forms.URLInput(
            attrs={
                "autocomplete": "off",
                "placeholder": "https://ci.example.com/hooks/aiassist",
            }
        ),
    )
    description = forms.CharField(
        label="What it is for",
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    event_types = forms.MultipleChoiceField(
        label="Tell it when",
        choices=[(name, words.EVENTS.get(name, name)) for name in EVENT_TYPES],
        required=False,
        help_text="Tick none, and it is told of everything.",
        widget=forms.CheckboxSelectMultiple,
    )


def values_of(webhook: Webhook) -> dict[str, object]:
    """Return what the form shows at first."""
    return {
        "url": webhook.url,
        "description": webhook.description,
        "event_types": webhook.event_types,
    }
