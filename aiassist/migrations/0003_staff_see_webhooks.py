"""Let support and admins see what was sent to whom; the secrets are shown to nobody."""

from importlib import import_module

from django.db import migrations

_groups = import_module("aiassist.migrations.0001_staff_groups")


def allow(apps, schema_editor):
    for name in ("support", "admin"):
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        for model in ("accounts.webhook", "accounts.webhookdelivery"):
            group.permissions.add(_groups._permission(apps, model, "view"))


class Migration(migrations.Migration):
    dependencies = [
        ("aiassist", "0002_staff_edit_upstreams"),
        ("accounts", "0011_webhooks"),
    ]
    operations = [migrations.RunPython(allow, migrations.RunPython.noop)]
