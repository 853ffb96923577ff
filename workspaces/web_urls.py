"""Pages of workspaces, under /dashboard/."""

from django.urls import include, path

from workspaces import import_views, views

workspaces = [
    path("", views.workspace_list, name="list"),
    path("new/", views.create, name="create"),
    path("<str:workspace_id>/", views.detail, name="detail"),
    path("<str:workspace_id>/upload/", views.upload, name="upload"),
    path("<str:workspace_id>/rename/", views.rename, name="rename"),
    path("<str:workspace_id>/import/", import_views.import_page, name="import"),
    path(
        "<str:workspace_id>/import/forget/",
        import_views.import_forget,
        name="import_forget",
    ),
    path(
        "<str:workspace_id>/import/hook/", import_views.import_hook, name="import_hook"
    ),
    path("<str:workspace_id>/rules/", views.rules, name="rules"),
    path("<str:workspace_id>/reindex/", views.reindex, name="reindex"),
    path("<str:workspace_id>/delete/", views.delete, name="delete"),
    path("<str:workspace_id>/search/", views.search_page, name="search"),
    path("<str:workspace_id>/files/", views.file_list, name="files"),
    path("<str:workspace_id>/source/<path:path>/", views.source, name="source"),
    path("<str:workspace_id>/jobs/<str:job_id>/", views.job, name="job"),
    path("<str:workspace_id>/jobs/<str:job_id>/cancel/", views.cancel, name="cancel"),
]
urlpatterns = [path("workspaces/", include((workspaces, "workspaces")))]
