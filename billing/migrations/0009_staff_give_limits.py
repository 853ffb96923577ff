"""Billing and admin staff may give one person other limits; support sees them."""

from django.db import migrations

VIEW, ADD = "view", "add"
GROUPS = {"support": (VIEW,), "billing": (VIEW, ADD), "admin": (VIEW, ADD)}


def allow(apps, schema_editor):
    # Django makes permissions after all migrations have run, which is too late for us.
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="billing", model="limitoverride"
    )
    for name, rights in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        for right in rights:
            permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
                content_type=kind,
                codename=f"{right}_limitoverride",
                defaults={"name": f"Can {right} limit override"},
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("aiassist", "0001_staff_groups"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("billing", "0008_limit_overrides"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    # Rights on a table that has gone again do no harm.
    operations = [migrations.RunPython(allow, migrations.RunPython.noop)]
