"""The site's pages; the API's addresses are in aiassist.urls."""

from django.urls import include, path

from accounts.views import impersonation_end
from aiassist import connect_views, views

connect = [
    path("", connect_views.connect_index, name="index"),
    path("keys/<str:key_id>/", connect_views.connect_seen, name="seen"),
    path("<slug:slug>/", connect_views.connect_client, name="client"),
]
urlpatterns = [
    path("", views.landing, name="landing"),
    path("pricing/", views.pricing, name="pricing"),
    path("guides/", views.guide_index, name="guides"),
    path("guides/<slug:slug>/", views.guide, name="guide"),
    path("guides/<slug:folder>/<slug:slug>/", views.guide, name="guide_in"),
    path("legal/<slug:slug>/", views.legal, name="legal"),
    path("styleguide/", views.styleguide, name="styleguide"),
    path("mailbox/", views.dev_mailbox, name="mailbox"),
    path("dashboard/", views.dashboard, name="dashboard"),
    path("dashboard/as/end/", impersonation_end, name="impersonation_end"),
    path("dashboard/steps/", views.first_steps, name="steps"),
    path("dashboard/connect/", include((connect, "connect"))),
    path("dashboard/", include("accounts.web_urls")),
    path("dashboard/", include("billing.web_urls")),
    path("dashboard/", include("workspaces.web_urls")),
    path("dashboard/", include("assistant.web_urls")),
]
