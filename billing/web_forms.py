"""The form that asks whether a call would be allowed."""

from django import forms

from billing.metering.dry_run import Wish
from billing.models import FEATURES, PROVIDERS

_ANY = ("", "Does not matter")
_FEATURES = {
    "basic_chat": "Chat",
    "code_explanation": "Explain code",
    "code_generation": "Generate code",
    "inline_completion": "Inline completion",
}


class WishForm(forms.Form):
    """What somebody would like to do."""

    feature = forms.ChoiceField(
        choices=[
            _ANY,
            *((name, _FEATURES.get(name, name)) for name in FEATURES),
            ("search", "Search"),
        ],
        required=False,
    )
    provider = forms.ChoiceField(
        choices=[_ANY, *((name, name) for name in PROVIDERS)], required=False
    )
    file_bytes = forms.IntegerField(
        label="Size of a file, bytes", required=False, min_value=0, max_value=2**53
    )
    storage_bytes = forms.IntegerField(
        label="Stored in addition, bytes", required=False, min_value=0, max_value=2**53
    )
    # Django takes declared fields out of the class, so its own `files` stays.
    files = forms.IntegerField(  # type: ignore[assignment]
        label="Files in one workspace",
        required=False,
        min_value=0,
        max_value=2**31,
    )
    workspaces = forms.IntegerField(
        label="Workspaces in addition", required=False, min_value=0, max_value=10**6
    )
    context_tokens = forms.IntegerField(
        label="Length of a prompt, tokens", required=False, min_value=0, max_value=2**31
    )
    requests = forms.IntegerField(
        label="Calls", initial=1, min_value=0, max_value=1_000_000
    )

    def wish(self) -> Wish:
        """Return it as the dry run takes it."""
        asked = self.cleaned_data
        return Wish(
            feature=asked["feature"] or None,
            provider=asked["provider"] or None,
            file_bytes=asked["file_bytes"],
            storage_bytes=asked["storage_bytes"],
            files=asked["files"],
            workspaces=asked["workspaces"],
            context_tokens=asked["context_tokens"],
            requests=asked["requests"],
        )
