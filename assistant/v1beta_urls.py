"""What Tabby's editor plugins ask for, under /v1beta/."""

from django.urls import path

from assistant.api import tabby_views

urlpatterns = [
    path(
        "server_setting",
        tabby_views.TabbySettingView.as_view(),
        name="v1beta-server-setting",
    ),
]
