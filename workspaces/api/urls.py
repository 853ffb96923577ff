"""Where the workspaces' API is mounted, below /api/v1/."""

from django.urls import path

from workspaces.api import files, imports, preview, views

_ONE = "workspaces/<str:workspace_id>"

urlpatterns = [
    path("workspaces", views.WorkspacesView.as_view(), name="api-workspaces"),
    path(_ONE, views.WorkspaceView.as_view(), name="api-workspace"),
    path(f"{_ONE}/import", imports.ImportView.as_view(), name="api-import"),
    path(
        f"{_ONE}/import/hook", imports.ImportHookView.as_view(), name="api-import-hook"
    ),
    path("hooks/git/<str:hook_id>", imports.PushView.as_view(), name="api-push"),
    path(f"{_ONE}/preview", preview.PreviewView.as_view(), name="api-preview"),
    path(f"{_ONE}/sync", files.SyncsView.as_view(), name="api-sync"),
    path(f"{_ONE}/sync/<str:sync_id>", files.SyncView.as_view(), name="api-sync-one"),
    path(
        f"{_ONE}/sync/<str:sync_id>/files",
        files.SyncFilesView.as_view(),
        name="api-sync-files",
    ),
    path(
        f"{_ONE}/sync/<str:sync_id>/commit",
        files.SyncCommitView.as_view(),
        name="api-sync-commit",
    ),
    path(f"{_ONE}/archive", files.ArchiveView.as_view(), name="api-archive"),
    path(f"{_ONE}/skipped", files.LeftOutView.as_view(), name="api-left-out"),
    path(f"{_ONE}/files", files.FilesView.as_view(), name="api-files"),
    path(f"{_ONE}/files/<path:path>", files.FileView.as_view(), name="api-file"),
    path(f"{_ONE}/jobs", views.JobsView.as_view(), name="api-jobs"),
    path(f"{_ONE}/jobs/<str:job_id>", views.JobView.as_view(), name="api-job"),
    path(
        f"{_ONE}/jobs/<str:job_id>/events",
        views.JobEventsView.as_view(),
        name="api-job-events",
    ),
    path(
        f"{_ONE}/jobs/<str:job_id>/cancel",
        views.JobCancelView.as_view(),
        name="api-job-cancel",
    ),
    path(f"{_ONE}/search", views.SearchView.as_view(), name="api-search"),
]
