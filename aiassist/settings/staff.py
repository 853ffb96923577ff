"""How the admin looks, and what its side bar leads to.

Source: https://unfoldadmin.com/docs/configuration/settings/
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": _may_view(f"{app}.view_{name}"),
    }


UNFOLD = {
    "SITE_TITLE": "aiassist",
    "SITE_HEADER": "aiassist",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/dashboard/",
    "SITE_SYMBOL": "data_object",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("img/icon.svg"),
        }
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "aiassist.staff.dashboard",
    "STYLES": [lambda request: static("css/pages/staff.css")],
    "SCRIPTS": [lambda request: static("js/staff.js")],
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "items": [
                    {
                        "title": "Overview",
                        "icon": "monitoring",
                        "link": reverse_lazy("admin:index"),
                    }
                ]
            },
            {
                "title": "People",
                "items": [
                    _item("Users", "group", "accounts.user"),
                    _item("API keys", "key", "accounts.apikey"),
                    _item("Token sign-ins", "badge", "accounts.tokenfamily"),
                    _item("Apps", "apps", "allauth_idp_oidc.client"),
                    _item("Data exports", "download", "accounts.dataexport"),
                    _item("Webhooks", "webhook", "accounts.webhook"),
                    _item("Deliveries", "send", "accounts.webhookdelivery"),
                    _item("Groups", "shield_person", "auth.group"),
                ],
            },
            {
                "title": "Plans and usage",
                "items": [
                    _item("Tiers", "stacks", "billing.tier"),
                    _item("Subscriptions", "card_membership", "billing.subscription"),
                    _item("Limit overrides", "tune", "billing.limitoverride"),
                    _item("Usage records", "receipt_long", "billing.usagerecord"),
                    _item("Refusals", "block", "billing.refusal"),
                    _item("Usage by day", "calendar_month", "billing.usageday"),
                    _item("Quotas now", "speed", "billing.quota"),
                ],
            },
            {
                "title": "Models",
                "items": [
                    _item("Models and prices", "smart_toy", "assistant.aimodel"),
                    {
                        "title": "Upstreams",
                        "icon": "dns",
                        "link": reverse_lazy("admin:upstreams"),
                        "permission": _may_view("assistant.view_aimodel"),
                    },
                    _item("Conversations", "forum", "assistant.conversation"),
                ],
            },
            {
                "title": "Code",
                "items": [
                    _item("Workspaces", "folder_code", "workspaces.workspace"),
                    _item("Index jobs", "manufacturing", "workspaces.indexjob"),
                    _item("Storage", "hard_drive", "workspaces.userstorage"),
                    _item("Tombstones", "delete_history", "workspaces.tombstone"),
                ],
            },
            {
                "title": "Record",
                "items": [_item("Audit log", "history", "accounts.auditevent")],
            },
        ],
    },
}
