"""A worker's turn at an import: fetch, read, keep; or say why not.

The source's row holds a lease, as a workspace's does while it is indexed. A worker
that dies leaves it to run out; the sweeper sends the task again, three times at most.
Nothing of the workspace changes before everything has come.
"""

import asyncio
import contextvars
import logging
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import IO

from django.conf import settings
from django.db import transaction

from aiassist.lib.clock import now
from aiassist.lib.errors import AppError, NotFound
from aiassist.lib.queue import enqueue
from aiassist.lib.vault import SealBroken
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.content.storage import Spool, lock_workspace, storage_room
from workspaces.git.errors import GitRefused, RepositoryTooLarge
from workspaces.git.pack import CommitFiles, Pack
from workspaces.git.sources import (
    TASK,
    due_sources,
    fetching_job,
    request_import,
    token_of,
)
from workspaces.git.wire import Fetched, Remote, fetch_pack
from workspaces.jobs.queue import TASK as INDEX_TASK
from workspaces.jobs.queue import end_job
from workspaces.models import (
    GitSource,
    IndexJob,
    JobState,
    PushDelivery,
    Workspace,
)
from workspaces.receiving.archives import gather, keep
from workspaces.receiving.unpacking import Archive, Entry, Limits

logger = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)
_INDEXING = timedelta(seconds=180)  # the pack's objects, once it is here
_BEAT_SECONDS = 1.0
_BACKOFF = timedelta(seconds=15)


class Stopped(Exception):
    """The job was cancelled, asked for otherwise, or another worker has taken over."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """The right to fetch for one workspace, and what was asked for when it began."""

    workspace: Workspace
    token: str
    remote: Remote
    ref: str
    began: datetime
    tier: Tier

    def renew(self, how_long: timedelta = _LEASE) -> None:
        """Raise Stopped where the turn is over."""
        mine = GitSource.objects.living().filter(
            pk=self.workspace.pk, lease_token=self.token
        )
        job = fetching_job(self.workspace)
        if job is None or not mine.update(lease_until=now() + how_long):
            raise Stopped


def run_import(workspace_id: str) -> None:
    """Fetch what the workspace follows, if a job waits for it."""
    turn = _take_turn(workspace_id)
    if turn is None:
        return
    try:
        with TemporaryFile(prefix="aiassist-pack-") as file:
            fetched = _fetch(turn, file)
            _keep(turn, file, fetched)
    except Stopped:
        _release(turn)
    except AppError as error:
        _fail(turn, error.sentence, for_good=error.permanent)
    except Exception as error:  # the worker's outermost loop
        # The text of a foreign exception may hold the address or code.
        logger.error(
            "import failed: workspace=%s error=%s", workspace_id, type(error).__name__
        )
        _fail(turn, f"The import failed ({type(error).__name__}).", for_good=False)


def sweep_imports() -> None:
    """Ask for what is due, and send again what a dead broker or worker lost."""
    due_sources()
    moment = now()
    lost = (
        GitSource.objects.living()
        .filter(workspace__jobs__state=JobState.QUEUED, workspace__jobs__fetching=True)
        .exclude(sent_at__gt=moment - GitSource.RESEND_AFTER)
        .exclude(lease_until__gte=moment)
        .exclude(not_before__gt=moment)
        .order_by("wanted_at")
    )
    keys = list(lost.values_list("pk", flat=True)[:100])
    GitSource.objects.filter(pk__in=keys).update(sent_at=moment)
    for key in keys:
        enqueue(TASK, workspace_id=key)
    PushDelivery.objects.filter(received_at__lt=moment - PushDelivery.KEEP).delete()


@transaction.atomic
def _take_turn(workspace_id: str) -> _Turn | None:
    """Take the lease, counting the attempt before any work."""
    try:
        workspace = lock_workspace(Workspace(pk=workspace_id))
    except NotFound:
        return None
    job = fetching_job(workspace)
    if job is None:
        return None
    source = GitSource.objects.for_workspace(workspace).first()
    if source is None:
        end_job(workspace, job, JobState.CANCELLED, "Its repository was forgotten.")
        return None
    user = workspace.user
    if not user.is_active or user.deleted_at is not None:
        end_job(workspace, job, JobState.CANCELLED)
        return None
    if not _may_start(source, user.pk):
        return None
    if source.attempts >= GitSource.MAX_ATTEMPTS:
        _give_up(workspace, job, source, source.error or "The import failed.")
        return None
    try:
        remote = Remote(source.url, source.username, token_of(source))
    except SealBroken:
        _give_up(workspace, job, source, "The kept token cannot be read. Give it anew.")
        return None
    source.attempts += 1
    source.lease_token = secrets.token_hex(16)
    source.lease_until = now() + _LEASE
    source.save(update_fields=["attempts", "lease_token", "lease_until", "updated_at"])
    tier = tier_of(user)
    return _Turn(workspace, source.lease_token, remote, source.ref, now(), tier)


def _may_start(source: GitSource, user_id: object) -> bool:
    """Is it due, free, and within what may run at a time? The sweeper asks again."""
    moment = now()
    if source.lease_until and source.lease_until >= moment:
        return False
    if source.not_before and source.not_before > moment:
        return False
    held = GitSource.objects.held(moment)
    # One at a time of each user, so that nobody's imports fill all places.
    if held.filter(workspace__user_id=user_id).exists():
        return False
    return held.count() < settings.GIT_IMPORT_CONCURRENCY


def _fetch(turn: _Turn, file: IO[bytes]) -> Fetched:
    """Fetch in a thread of its own; this one keeps the lease and hears a cancel."""
    fetching = _Fetching(
        lambda: fetch_pack(
            turn.remote,
            turn.ref,
            file,
            max_bytes=turn.tier.max_storage_bytes,
            max_blob_bytes=turn.tier.max_file_bytes,
        )
    )
    fetching.start()
    try:
        while not fetching.wait(_BEAT_SECONDS):
            turn.renew()
    finally:
        fetching.stop()
    try:
        return fetching.result()
    except RepositoryTooLarge:
        raise _too_large(turn.tier) from None


def _too_large(tier: Tier) -> RepositoryTooLarge:
    room = storage_room(tier)
    return RepositoryTooLarge(
        f"This repository is larger than your tier stores. {room.sentence}",
        policy="repository_bytes",
        scope="request",
        limit=tier.max_storage_bytes,
        used=None,
        resets_at=None,
        alternatives=["Upload a part of it as an archive.", *room.alternatives],
    )


class _Fetching:
    """One coroutine on a thread's own event loop, which another thread may stop."""

    def __init__(self, make: Callable[[], Coroutine[None, None, Fetched]]) -> None:
        self._make = make
        self._done = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Fetched] | None = None
        self._fetched: Fetched | None = None
        self._error: BaseException | None = None
        self._stopping = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)

    def stop(self) -> None:
        """End it, and return when it has ended."""
        self._stopping = True
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not self._done.is_set():
            loop.call_soon_threadsafe(task.cancel)
        self._thread.join(10)

    def result(self) -> Fetched:
        """Return what it made. Raises what it raised."""
        if self._error is not None:
            raise self._error
        if self._fetched is None:
            raise Stopped
        return self._fetched

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            self._error = Stopped()
        except Exception as error:  # handed to the thread that waits
            self._error = error
        finally:
            self._done.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._make())
        if self._stopping:
            self._task.cancel()
        self._fetched = await self._task


def _keep(turn: _Turn, file: IO[bytes], fetched: Fetched) -> None:
    """Read the pack, then make the commit's files the workspace's in one step."""
    turn.renew(_INDEXING)
    limits = Limits.of(turn.tier)
    files = CommitFiles(Pack(file, file.tell(), limits), fetched.object_id, limits)
    watched = _Watched(files, turn)
    with Spool() as spool:
        gathered = gather(
            watched, spool, turn.workspace, turn.tier, True, strip_folder=False
        )
        if not gathered.files:
            raise GitRefused("This repository holds no file that can be indexed.")
        with transaction.atomic():
            locked = keep(turn.workspace, gathered, True, turn.tier)
            job = fetching_job(locked)
            source = GitSource.objects.for_workspace(locked).first()
            if job is None or source is None or source.lease_token != turn.token:
                raise Stopped
            if source.url != turn.remote.url or source.ref != turn.ref:
                # Another repository was asked for meanwhile: this one is not kept.
                raise Stopped
            gathered.skips.store_in(job)
            job.fetching = False
            job.files_total = locked.n_files
            job.sent_at = now()
            job.save()
            asked_again = source.wanted_at > turn.began
            _succeeded(source, files.commit, fetched.branch)
            enqueue(INDEX_TASK, job_id=job.pk)
            if asked_again:
                # A push that came while the old commit was on its way.
                request_import(locked, source)


class _Watched:
    """An archive whose reader keeps its turn, and hears a cancel, as it goes on."""

    def __init__(self, archive: Archive, turn: _Turn) -> None:
        self._archive, self._turn = archive, turn
        self.holds_tracked_files = archive.holds_tracked_files

    def entries(self) -> Iterator[Entry]:
        renewed = 0.0
        for entry in self._archive.entries():
            if time.monotonic() - renewed > _BEAT_SECONDS:
                self._turn.renew()
                renewed = time.monotonic()
            yield entry


def break_fetches() -> None:
    """Free every source: for a start-up where no other process can be at work."""
    GitSource.objects.exclude(lease_until=None).update(
        lease_token="", lease_until=None, sent_at=None
    )
    sweep_imports()


def _succeeded(source: GitSource, commit: str, branch: str) -> None:
    source.commit, source.branch = commit, branch
    source.imported_at = now()
    source.error = ""
    source.attempts = 0
    source.lease_token, source.lease_until = "", None
    source.save()


@transaction.atomic
def _fail(turn: _Turn, error: str, *, for_good: bool) -> None:
    try:
        workspace = lock_workspace(turn.workspace)
    except NotFound:
        return
    source = GitSource.objects.for_workspace(workspace).first()
    job = fetching_job(workspace)
    if source is None or source.lease_token != turn.token:
        return
    source.lease_token, source.lease_until = "", None
    changed = source.url != turn.remote.url or source.ref != turn.ref
    source.error = error
    if job is not None and changed:
        source.attempts = 0
        enqueue(TASK, workspace_id=workspace.pk)
    elif job is not None and (for_good or source.attempts >= GitSource.MAX_ATTEMPTS):
        _give_up(workspace, job, source, error)
    else:
        source.not_before = now() + _BACKOFF * 2**source.attempts
    source.save()


def _give_up(
    workspace: Workspace, job: IndexJob, source: GitSource, error: str
) -> None:
    job.fetching = False
    job.cleaned_at = now()  # it never wrote a point
    job.save(update_fields=["fetching", "cleaned_at"])
    end_job(workspace, job, JobState.FAILED, error)
    source.error = error
    source.attempts = 0
    source.not_before = None
    source.save()


def _release(turn: _Turn) -> None:
    released = GitSource.objects.filter(
        pk=turn.workspace.pk, lease_token=turn.token
    ).update(lease_token="", lease_until=None)
    # It was cancelled and perhaps asked for anew.
    if released and fetching_job(turn.workspace) is not None:
        GitSource.objects.filter(pk=turn.workspace.pk).update(attempts=0)
        enqueue(TASK, workspace_id=turn.workspace.pk)
