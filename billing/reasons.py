"""What each refusal by a limit means, in words for the page that explains it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    title: str
    what: str  # why it exists and what it counts
    remedy: str


_STORED = "Delete files or whole workspaces; the room is back at once."

REASONS: dict[str, Reason] = {
    "quota_exceeded": Reason(
        "Too many calls in this hour or day, or at one time",
        "Each answered chat, explanation, completion and search counts once. Hours "
        "and days are those of the clock in UTC, and all your keys share them.",
        "Wait until the window starts again, or until a running call ends.",
    ),
    "feature_not_in_tier": Reason(
        "A feature that your tier does not have",
        "Tiers differ in what they may be asked to do. Search belongs to all.",
        "Use another feature, or ask staff for a tier that has this one.",
    ),
    "provider_not_in_tier": Reason(
        "A provider that your tier does not have",
        "Models belong to providers, and tiers name the providers they include.",
        "Pick a model of a provider in the table below.",
    ),
    "too_large": Reason(
        "Something larger than your tier takes",
        "A tier limits the size of one file, so that one upload cannot fill the disk.",
        "Split the file, or leave it out: generated files rarely help an answer.",
    ),
    "file_too_large": Reason(
        "A file larger than your tier takes",
        "A tier limits the size of one file.",
        "Leave it out: generated files rarely help an answer.",
    ),
    "archive_too_large": Reason(
        "An archive that unpacks to more than your tier holds",
        "What counts is the size after unpacking, so that a small archive cannot "
        "fill the disk.",
        "Leave out dependencies and build results, or sync single files.",
    ),
    "storage_exceeded": Reason(
        "Your storage is full",
        "All files of all your workspaces count together.",
        _STORED,
    ),
    "too_many_files": Reason(
        "More files than a workspace of your tier holds",
        "A tier limits the number of files in one workspace.",
        "Leave out dependencies, or split the code over workspaces.",
    ),
    "workspace_limit": Reason(
        "As many workspaces as your tier has",
        "A tier limits the number of workspaces.",
        "Delete one that you do not use.",
    ),
    "context_too_large": Reason(
        "A prompt larger than your tier sends to a model",
        "A tier limits the tokens of one prompt: history, code and question.",
        "Shorten the prompt, or index the code in a workspace: only what matters "
        "is sent then.",
    ),
    "too_many_keys": Reason(
        "As many API keys as one account holds",
        "The number of usable keys of one account is limited.",
        "Revoke those that nothing uses.",
    ),
    "too_many_webhooks": Reason(
        "As many webhooks as one account holds",
        "The number of webhooks of one account is limited.",
        "Remove one that nobody needs, or have one tell of more events.",
    ),
    "repository_too_large": Reason(
        "A repository larger than your tier takes",
        "What counts is what would be downloaded.",
        "Import a part of it, or upload an archive of what matters.",
    ),
    "too_many_attempts": Reason(
        "Too many wrong tries in a short time",
        "Five wrong passwords or codes in five minutes close the door for a while, "
        "whoever made them.",
        "Wait five minutes. If it was not you, change your password.",
    ),
}
