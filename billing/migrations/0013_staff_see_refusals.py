"""Support, billing and admin staff see what limits refused."""

from django.db import migrations


def allow(apps, schema_editor):
    # Django makes permissions after all migrations have run, which is too late for us.
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="billing", model="refusal"
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind,
        codename="view_refusal",
        defaults={"name": "Can view refusal"},
    )
    for name in ("support", "billing", "admin"):
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("aiassist", "0001_staff_groups"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("billing", "0012_refusals"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    # Rights on a table that has gone again do no harm.
    operations = [migrations.RunPython(allow, migrations.RunPython.noop)]
