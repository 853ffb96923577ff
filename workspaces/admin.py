"""Staff look at workspaces and jobs; they rebuild, cancel, park, and read no code."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from accounts import audit
from accounts.staff import ReadOnlyAdmin, SearchByPerson, labelled, staff_of
from workspaces.errors import JobNotActive
from workspaces.jobs.parking import park_job, release_job
from workspaces.jobs.progress import phase_of
from workspaces.jobs.queue import cancel_job, request_rebuild
from workspaces.models import IndexJob, Tombstone, UserStorage, Workspace
from workspaces.models.index_job import FINAL_STATES

# What a state looks like; the others are plain.
LABELS = {
    "ready": "success",
    "succeeded": "success",
    "failed": "danger",
    "indexing": "info",
    "running": "info",
    "queued": "info",
    "parked": "warning",
}


def _note(
    request: HttpRequest, action: str, user_id: str, row: Workspace | IndexJob
) -> None:
    audit.record(
        action,
        actor=staff_of(request),
        subject=user_id,
        request=request,
        row_id=row.pk,
    )


class _CodeAdmin(SearchByPerson, ReadOnlyAdmin):
    def has_act_permission(self, request: HttpRequest) -> bool:
        """Looking is not yet acting: actions need the right to change."""
        return request.user.has_perms(
            ["workspaces.change_workspace", "workspaces.change_indexjob"]
        )


@admin.register(Workspace)
class WorkspaceAdmin(_CodeAdmin):
    list_display = (
        *("id", "name", "user", "state", "n_files", "n_chunks", "size"),
        "last_indexed_at",
    )
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = whole_ids = ("id", "name")
    ordering = ("-created_at",)
    # Patterns name the user's paths.
    exclude = ("lease_token", "include", "exclude")
    actions = ("rebuild",)

    @labelled("Status", LABELS, ordering="status")
    def state(self, workspace: Workspace) -> str:
        return workspace.status

    @admin.display(description="Size", ordering="n_bytes")
    def size(self, workspace: Workspace) -> str:
        return filesizeformat(workspace.n_bytes)

    @admin.action(description="Index the selected workspaces anew", permissions=["act"])
    def rebuild(self, request: HttpRequest, queryset: QuerySet[Workspace]) -> None:
        living = queryset.filter(deleted_at=None)
        for workspace in living:
            with transaction.atomic():
                request_rebuild(workspace=workspace)
                _note(request, "workspace.rebuild_asked", workspace.user_id, workspace)
        self.message_user(request, f"{len(living)} index jobs wait.", messages.SUCCESS)


@admin.register(IndexJob)
class IndexJobAdmin(_CodeAdmin):
    list_display = (
        *("id", "user", "standing", "at", "files", "attempts"),
        *("created_at", "finished_at", "error"),
    )
    list_filter = ("state", ("parked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user", "workspace")
    search_fields = whole_ids = ("id", "workspace_id")
    exclude = ("manifest", "cursor", "skipped")
    actions = ("cancel", "retry", "park", "release")

    @admin.action(
        description="Index their workspaces again, where nothing runs",
        permissions=["act"],
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[IndexJob]) -> None:
        """A job that is over stays as it is; its workspace gets a new one."""
        over = queryset.filter(state__in=FINAL_STATES, workspace__deleted_at=None)
        workspaces = {job.workspace_id: job for job in over.select_related("workspace")}
        for job in workspaces.values():
            with transaction.atomic():
                request_rebuild(workspace=job.workspace)
                _note(request, "index_job.retried", job.user_id, job)
        self.message_user(request, f"{len(workspaces)} jobs wait.", messages.SUCCESS)

    @labelled("State", LABELS, ordering="state")
    def standing(self, job: IndexJob) -> str:
        return "parked" if job.parked_at and job.finished_at is None else job.state

    @admin.display(description="Files")
    def files(self, job: IndexJob) -> str:
        return f"{job.files_done:,} of {job.files_total:,}"

    @admin.display(description="At")
    def at(self, job: IndexJob) -> str:
        return phase_of(job)

    @admin.action(description="Cancel the selected jobs", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[IndexJob]) -> None:
        n = self._each(request, queryset, cancel_job, "index_job.cancelled")
        self.message_user(request, f"{n} jobs are being cancelled.", messages.SUCCESS)

    @admin.action(
        description="Park: put aside what waits or runs, keeping what is done",
        permissions=["act"],
    )
    def park(self, request: HttpRequest, queryset: QuerySet[IndexJob]) -> None:
        n = self._each(request, queryset, park_job, "index_job.parked")
        self.message_user(request, f"{n} jobs are parked.", messages.SUCCESS)

    @admin.action(description="Let parked jobs go on", permissions=["act"])
    def release(self, request: HttpRequest, queryset: QuerySet[IndexJob]) -> None:
        n = self._each(request, queryset, release_job, "index_job.released")
        self.message_user(request, f"{n} jobs go on.", messages.SUCCESS)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[IndexJob],
        act: Callable[..., IndexJob],
        action: str,
    ) -> int:
        """Act on those that it fits, with a note each; return how many."""
        n_done = 0
        for job in queryset.select_related("workspace"):
            try:
                with transaction.atomic():
                    act(job=job)
                    _note(request, action, job.user_id, job)
                n_done += 1
            except JobNotActive:
                continue
        return n_done


@admin.register(UserStorage)
class UserStorageAdmin(ReadOnlyAdmin):
    list_display = ("user", "size")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    ordering = ("-n_bytes",)

    @admin.display(description="Size", ordering="n_bytes")
    def size(self, held: UserStorage) -> str:
        return filesizeformat(held.n_bytes)


@admin.register(Tombstone)
class TombstoneAdmin(ReadOnlyAdmin):
    list_display = ("workspace_id", "created_at", "confirmed_at")
    ordering = ("-created_at",)
