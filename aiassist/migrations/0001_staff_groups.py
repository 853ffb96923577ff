"""Three groups of staff, each with what its work asks for and no more."""

from django.db import migrations

VIEW, CHANGE, ADD, DELETE = "view", "change", "add", "delete"
# Group -> app.model -> rights. Secrets and code are shown to none of them.
GROUPS = {
    "support": {
        "accounts.user": (VIEW, CHANGE),  # never rights, address or password
        "accounts.apikey": (VIEW, CHANGE),  # change: revoke
        "accounts.tokenfamily": (VIEW, CHANGE),
        "billing.tier": (VIEW,),
        "billing.subscription": (VIEW,),
        "billing.usagerecord": (VIEW,),
        "billing.quota": (VIEW,),
        "workspaces.workspace": (VIEW, CHANGE),  # change: index anew
        "workspaces.indexjob": (VIEW, CHANGE),  # change: cancel, retry
        "assistant.aimodel": (VIEW,),
    },
    "billing": {
        "accounts.user": (VIEW,),
        "billing.tier": (VIEW, ADD, CHANGE),
        "billing.subscription": (VIEW, ADD),
        "billing.usagerecord": (VIEW,),
        "billing.usageday": (VIEW,),
        "billing.quota": (VIEW,),
        "assistant.aimodel": (VIEW, ADD, CHANGE),
    },
    "admin": {
        "accounts.user": (VIEW, ADD, CHANGE, DELETE, "impersonate"),
        "accounts.apikey": (VIEW, CHANGE),
        "accounts.tokenfamily": (VIEW, CHANGE),
        "accounts.auditevent": (VIEW,),
        "accounts.dataexport": (VIEW,),
        "billing.tier": (VIEW, ADD, CHANGE, DELETE),
        "billing.subscription": (VIEW, ADD),
        "billing.usagerecord": (VIEW,),
        "billing.usageday": (VIEW,),
        "billing.quota": (VIEW,),
        "billing.reservation": (VIEW,),
        "workspaces.workspace": (VIEW, CHANGE),
        "workspaces.indexjob": (VIEW, CHANGE),
        "workspaces.userstorage": (VIEW,),
        "workspaces.tombstone": (VIEW,),
        "assistant.aimodel": (VIEW, ADD, CHANGE, DELETE),
        "assistant.conversation": (VIEW,),
    },
}


def seed(apps, schema_editor):
    """Make the groups; one that staff made under the same name gains the rights."""
    group_model = apps.get_model("auth", "Group")
    for name, models in GROUPS.items():
        group, _ = group_model.objects.get_or_create(name=name)
        for label, rights in models.items():
            for right in rights:
                group.permissions.add(_permission(apps, label, right))


def unseed(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS).delete()


def _permission(apps, label, right):
    # Django makes these after all migrations have run, which is too late for us.
    app, model = label.split(".")
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app, model=model
    )
    verbose = apps.get_model(app, model)._meta.verbose_name
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind,
        codename=f"{right}_{model}",
        defaults={"name": f"Can {right} {verbose}"},
    )
    return permission


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("accounts", "0006_impersonation_right"),
        ("assistant", "0002_seed_models"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("billing", "0003_guard_usage_records"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("workspaces", "0001_workspaces_files_jobs"),
    ]
    operations = [migrations.RunPython(seed, unseed)]
