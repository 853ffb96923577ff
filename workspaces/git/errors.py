"""What can go wrong between us and a git host."""

from aiassist.lib.errors import AppError, Conflict, TooLarge


class GitUrlRefused(AppError):
    code, status = "git_url_refused", 400
    message = (
        "Give the https:// address of a public host, without a user name, a query or "
        "a fragment: https://github.com/owner/repository"
    )


class GitRefused(AppError):
    """The host answered, and it was a no."""

    code, status = "git_refused", 422
    message = "The git host refused this repository."


class GitUnavailable(AppError):
    code, status, permanent = "git_unavailable", 502, False
    message = "The git host did not answer as it should. Try again in a while."


class BadPack(AppError):
    code, status = "bad_pack", 422
    message = "The git host sent a pack that cannot be read."


class RepositoryTooLarge(TooLarge):
    code = "repository_too_large"
    message = "This repository is larger than your tier takes."


class NotImported(Conflict):
    code = "not_imported"
    message = "This workspace follows no git repository. Import one first."


class PushRefused(AppError):
    """One answer for a hook that is not there, has no secret or a wrong signature."""

    code, status = "push_refused", 403
    message = "This push could not be verified."
