"""The forms of the chat."""

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from assistant.conversations import TITLE_CHARS
from assistant.places import MAX_KEY_CHARS


class TitleForm(forms.Form):
    """What a conversation is called."""

    title = forms.CharField(
        max_length=TITLE_CHARS,
        validators=[ProhibitNullCharactersValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class ProviderKeyForm(forms.Form):
    """A key for a provider, and where the provider is."""

    key = forms.CharField(
        max_length=MAX_KEY_CHARS,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="It is sealed, sent to that provider alone, and not shown again.",
    )
    base_url = forms.CharField(
        label="Address",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "url"}),
        help_text="Empty: the provider's own. Else https, reachable from outside.",
    )


class FallbackForm(forms.Form):
    """Whether something is better than nothing."""

    local_fallback = forms.BooleanField(
        label="Let a local model answer",
        help_text="Answers of it say so. Your quota stays as it is.",
        required=False,
    )
