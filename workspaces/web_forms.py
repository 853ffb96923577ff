"""The forms of the pages of workspaces."""

from typing import Any

from django import forms

from workspaces.finding.search import MODES
from workspaces.finding.validation import MAX_QUERY_CHARS
from workspaces.models import Workspace
from workspaces.services import MAX_NAME_CHARS


class NameForm(forms.Form):
    """What a workspace is called."""

    name = forms.CharField(
        max_length=MAX_NAME_CHARS,
        help_text="The project's name, for example “payments”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class UploadForm(forms.Form):
    """An archive of the code."""

    file = forms.FileField(
        label="Archive",
        help_text="A .zip, .tar or .tar.gz of the repository.",
        widget=forms.ClearableFileInput(
            attrs={"accept": ".zip,.tar,.tgz,.gz,application/zip,application/gzip"}
        ),
    )
    keep_others = forms.BooleanField(
        label="Keep files that this archive does not hold",
        required=False,
    )


class ImportForm(forms.Form):
    """A repository to follow."""

    url = forms.CharField(
        label="Address",
        max_length=500,
        help_text="https, for example https://github.com/django/django.git",
        widget=forms.URLInput(attrs={"autocomplete": "off"}),
    )
    ref = forms.CharField(
        label="Branch or tag",
        max_length=255,
        required=False,
        help_text="Empty: the default branch.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    username = forms.CharField(
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    token = forms.CharField(
        label="Access token",
        max_length=2000,
        required=False,
        help_text="For a private repository; kept sealed. Empty: the one kept before.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    every_hours = forms.ChoiceField(
        label="Fetch again",
        choices=[
            ("", "When I ask, or when it is pushed to"),
            ("1", "Every hour"),
            ("6", "Every 6 hours"),
            ("24", "Every day"),
        ],
        required=False,
    )


class RulesForm(forms.Form):
    """Which files the workspace keeps, beyond what every workspace leaves out."""

    exclude = forms.CharField(
        label="Leave out",
        help_text="One pattern a line, as in .gitignore: “docs/”, “*.min.js”.",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 5, "class": "mono"}),
    )
    include = forms.CharField(
        label="Keep in any case",
        help_text="These win over everything but the rule for secrets.",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 5, "class": "mono"}),
    )
    use_gitignore = forms.BooleanField(
        label="Leave out what the repository's .gitignore files name", required=False
    )

    def patterns(self, name: str) -> list[str]:
        lines: str = self.cleaned_data[name]
        return [line.strip() for line in lines.splitlines() if line.strip()]


class SearchForm(forms.Form):
    """A search and its filters."""

    q = forms.CharField(
        label="What are you looking for?",
        max_length=MAX_QUERY_CHARS,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": "where is a refund settled, or parse_config",
                "autocomplete": "off",
            }
        ),
    )
    mode = forms.ChoiceField(
        label="Rank by",
        choices=[
            ("hybrid", "Meaning and words"),
            ("semantic", "Meaning"),
            ("keyword", "Words"),
        ],
        required=False,
        initial=MODES[0],
    )
    path = forms.CharField(
        label="Only paths like",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"placeholder": "src/**/*.py"}),
    )
    language = forms.CharField(
        label="Language",
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"placeholder": "python"}),
    )


class DeleteForm(forms.Form):
    """Asks for the name, so that nobody deletes a workspace by a slip."""

    name = forms.CharField(
        label="The workspace's name",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        self.workspace = workspace
        super().__init__(*args, **kwargs)

    def clean_name(self) -> str:
        typed: str = self.cleaned_data["name"]
        if typed.strip() != self.workspace.name:
            raise forms.ValidationError("This is not the name of this workspace.")
        return typed
