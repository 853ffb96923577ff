"""What a workspace follows: asked for by its owner, by the clock, or by a push."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from accounts import audit
from aiassist.lib.clock import now
from aiassist.lib.errors import ValidationFailed
from aiassist.lib.queue import enqueue
from aiassist.lib.vault import SealBroken, seal, unseal
from workspaces.content.storage import lock_workspace
from workspaces.git.errors import NotImported, PushRefused
from workspaces.git.wire import checked_repository, is_ref
from workspaces.models import (
    GitSource,
    IndexJob,
    JobState,
    PushDelivery,
    Workspace,
    WorkspaceStatus,
)

TASK = "workspaces.fetch"
TOKEN_PURPOSE = "git token"
_HOOK_PURPOSE = "push hook secret"
MAX_TOKEN_CHARS = 500
_NO_COMMIT = "0" * 40  # what hosts send as the new commit of a deleted branch


@transaction.atomic
def ask_import(
    *,
    workspace: Workspace,
    url: str,
    ref: str = "",
    username: str = "",
    token: str | None = None,
    every_hours: int | None = None,
) -> IndexJob:
    """Follow this repository from now on, and bring its files in.

    Without a token, the one kept for the same address is used on. Raises
    GitUrlRefused, ValidationFailed.
    """
    clean = checked_repository(url)
    if ref and not is_ref(ref):
        raise _invalid("ref", "This can be no branch, tag or commit.")
    locked = lock_workspace(workspace)
    source = GitSource.objects.for_workspace(locked).first()
    if source is None:
        source = GitSource(workspace=locked, wanted_at=now())
    if token is not None:
        source.token = seal(token, purpose=TOKEN_PURPOSE) if token else ""
    elif source.url != clean:
        source.token = ""  # a token goes to the host that it was given for alone
    if source.url != clean or source.ref != ref:
        source.commit = source.branch = ""
    source.url, source.ref, source.username = clean, ref, username
    source.every_hours = every_hours
    source.next_at = _next(every_hours)
    source.save()
    audit.record(
        "workspace.import_asked",
        actor=locked.user,
        subject=locked.user,
        workspace_id=locked.pk,
    )
    return request_import(locked, source)


def request_import(workspace: Workspace, source: GitSource) -> IndexJob:
    """Ask for the source's files; the caller holds the workspace's lock.

    A job whose fetch is waiting or under way is joined: it fetches again where it
    began before this.
    """
    moment = now()
    source.wanted_at = source.sent_at = moment
    source.attempts = 0
    source.not_before = None
    source.save(
        update_fields=["wanted_at", "sent_at", "attempts", "not_before", "updated_at"]
    )
    job = fetching_job(workspace)
    if job is None:
        job = IndexJob.objects.create(
            workspace=workspace,
            user_id=workspace.user_id,
            files_total=workspace.n_files,
            imported=True,
            fetching=True,
        )
    workspace.status = WorkspaceStatus.INDEXING
    workspace.save(update_fields=["status", "updated_at"])
    enqueue(TASK, workspace_id=workspace.pk)
    return job


def fetching_job(workspace: Workspace) -> IndexJob | None:
    """Return the job that waits for its code."""
    return (
        IndexJob.objects.for_workspace(workspace)
        .filter(state=JobState.QUEUED, fetching=True)
        .first()
    )


def get_source(workspace: Workspace) -> GitSource:
    """Return what the workspace follows. Raises NotImported."""
    source = GitSource.objects.for_workspace(workspace).first()
    if source is None:
        raise NotImported
    return source


@transaction.atomic
def forget_source(*, workspace: Workspace) -> None:
    """Stop following; the files stay. Raises NotImported."""
    locked = lock_workspace(workspace)
    get_source(locked).delete()
    audit.record(
        "workspace.import_forgotten",
        actor=locked.user,
        subject=locked.user,
        workspace_id=locked.pk,
    )


@transaction.atomic
def new_hook_secret(*, workspace: Workspace) -> tuple[GitSource, str]:
    """Return the source and the secret of its hook, which cannot be read again.

    An older secret stops at once. Raises NotImported.
    """
    locked = lock_workspace(workspace)
    source = get_source(locked)
    secret = secrets.token_urlsafe(32)
    source.hook_secret = seal(secret, purpose=_HOOK_PURPOSE)
    source.save(update_fields=["hook_secret", "updated_at"])
    audit.record(
        "workspace.hook_made",
        actor=locked.user,
        subject=locked.user,
        workspace_id=locked.pk,
    )
    return source, secret


def hear_push(*, hook_id: str, headers: Mapping[str, str], body: bytes) -> str:
    """Verify a push and ask for an import; return what came of it.

    The body is signed, not the headers: a body heard before changes nothing, under
    whatever delivery id it comes. Raises PushRefused, the same for every cause.
    """
    source = (
        GitSource.objects.living()
        .select_related("workspace__user")
        .filter(hook_id=hook_id)
        .first()
    )
    if source is None or not _is_genuine(source, headers, body):
        raise PushRefused
    event = headers.get("X-GitHub-Event") or headers.get("X-Gitlab-Event") or ""
    if event.lower() == "ping":
        return "pong"
    if event.lower() not in ("push", "push hook", "tag push hook"):
        return "ignored: not a push"
    try:
        push = json.loads(body)
        ref, commit = str(push["ref"]), str(push.get("after") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PushRefused from None
    if commit == _NO_COMMIT or not _follows(source, ref):
        return "ignored: another branch"
    return _take_push(source, commit, hashlib.sha256(body).hexdigest())


@transaction.atomic
def _take_push(source: GitSource, commit: str, digest: str) -> str:
    workspace = lock_workspace(source.workspace)
    fresh = get_source(workspace)
    try:
        with transaction.atomic():
            PushDelivery.objects.create(source=fresh, digest=digest)
    except IntegrityError:
        return "ignored: heard before"
    if commit and commit == fresh.commit:
        return "ignored: that commit is here"
    if not workspace.user.is_active:
        raise PushRefused
    request_import(workspace, fresh)
    return "accepted"


def token_of(source: GitSource) -> str:
    """Return the token to send, "" for none. Raises SealBroken."""
    return unseal(source.token, purpose=TOKEN_PURPOSE) if source.token else ""


def due_sources() -> int:
    """Ask for every import whose hour has come; return how many."""
    due = GitSource.objects.scheduled(now()).select_related("workspace")[:100]
    return sum(_ask_again(source) for source in due)


@transaction.atomic
def _ask_again(source: GitSource) -> bool:
    workspace = lock_workspace(source.workspace)
    fresh = GitSource.objects.scheduled(now()).filter(pk=source.pk).first()
    if fresh is None:
        return False
    fresh.next_at = _next(fresh.every_hours)
    fresh.save(update_fields=["next_at", "updated_at"])
    request_import(workspace, fresh)
    return True


def _next(every_hours: int | None) -> datetime | None:
    return now() + timedelta(hours=every_hours) if every_hours else None


def _follows(source: GitSource, ref: str) -> bool:
    if source.branch:
        return ref == source.branch
    return not source.ref or ref in (
        source.ref,
        f"refs/heads/{source.ref}",
        f"refs/tags/{source.ref}",
    )


def _is_genuine(source: GitSource, headers: Mapping[str, str], body: bytes) -> bool:
    """Check GitHub's signature or GitLab's token.

    Source: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    and https://docs.gitlab.com/user/project/integrations/webhooks/
    """
    try:
        secret = unseal(source.hook_secret, purpose=_HOOK_PURPOSE)
    except SealBroken:
        return False
    signature = headers.get("X-Hub-Signature-256")
    if signature is not None:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(f"sha256={digest}".encode(), signature.encode())
    token = headers.get("X-Gitlab-Token") or ""
    return hmac.compare_digest(secret.encode(), token.encode())


def _invalid(field: str, detail: str) -> ValidationFailed:
    return ValidationFailed(
        errors=[{"field": field, "code": "invalid", "detail": detail}]
    )
