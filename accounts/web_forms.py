"""The forms of the pages of keys and settings."""

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from accounts.models import User
from accounts.profile import change_profile
from accounts.scopes import DEFAULT_KEY_SCOPES, WORDS

_LIFETIMES = (
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
)
_THEMES = (("", "As the system has it"), ("light", "Light"), ("dark", "Dark"))


class KeyNameForm(forms.Form):
    """What a key is called."""

    name = forms.CharField(
        max_length=100,
        help_text="Where the key will live, for example “laptop, VS Code”.",
        validators=[ProhibitNullCharactersValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class KeyForm(KeyNameForm):
    """A new key: name, lifetime and what it may do."""

    days = forms.ChoiceField(label="Expires after", choices=_LIFETIMES, initial="365")
    scopes = forms.MultipleChoiceField(
        label="May be used for",
        choices=list(WORDS.items()),
        initial=sorted(DEFAULT_KEY_SCOPES),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": "Choose at least one; a key that may do nothing is of no use."
        },
    )

    def lifetime(self) -> timedelta:
        return timedelta(days=int(self.cleaned_data["days"]))


class NotificationsForm(forms.Form):
    """Which mails to get. Those about one's sign-in always come."""

    mail_key_expiry = forms.BooleanField(
        label="Before an API key expires",
        help_text="Two weeks and two days ahead.",
        required=False,
    )


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """The name, and how the site looks."""

    theme = forms.ChoiceField(choices=_THEMES, required=False)

    class Meta:
        model = User
        fields: ClassVar[list[str]] = ["full_name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["full_name"].label = "Name"
        self.fields["full_name"].widget.attrs["autocomplete"] = "name"
        self.initial["theme"] = self.instance.preferences.get("theme", "")

    def save(self, commit: bool = True) -> User:
        """Change these two; the rest of the row may have changed since it was read."""
        return change_profile(
            user=self.instance,
            full_name=self.cleaned_data["full_name"],
            preferences={
                **self.instance.preferences,
                "theme": self.cleaned_data["theme"],
            },
        )


class DeleteAccountForm(forms.Form):
    """Asks for the address, so that nobody deletes an account by a slip."""

    email = forms.CharField(
        label="Your e-mail address",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    def clean_email(self) -> str:
        typed: str = self.cleaned_data["email"]
        if typed.strip().lower() != self.user.email:
            raise forms.ValidationError("This is not the address of this account.")
        return typed
