"""Pages of usage and limits, under /dashboard/."""

from django.urls import include, path

from billing import views

usage = [
    path("usage/", views.usage, name="home"),
    path("limits/", views.limits, name="limits"),
    path("why/", views.why, name="why_any"),
    path("why/<slug:code>/", views.why, name="why"),
]
urlpatterns = [path("", include((usage, "usage")))]
