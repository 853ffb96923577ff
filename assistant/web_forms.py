"""The forms of the chat."""

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from assistant.conversations import TITLE_CHARS


class TitleForm(forms.Form):
    """What a conversation is called."""

    title = forms.CharField(
        max_length=TITLE_CHARS,
        validators=[ProhibitNullCharactersValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
