"""Let admins say where a model is had; it takes keys, so the others may not."""

from importlib import import_module

from django.db import migrations

_groups = import_module("aiassist.migrations.0001_staff_groups")
_RIGHTS = ("view", "add", "change", "delete")


def allow(apps, schema_editor):
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="admin")
    for right in _RIGHTS:
        group.permissions.add(_groups._permission(apps, "assistant.upstream", right))


class Migration(migrations.Migration):
    dependencies = [
        ("aiassist", "0001_staff_groups"),
        ("assistant", "0004_upstreams"),
    ]
    operations = [migrations.RunPython(allow, migrations.RunPython.noop)]
