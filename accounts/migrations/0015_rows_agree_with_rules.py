"""Rows that the constraints of the next migration would refuse, if there are any."""

from django.db import migrations
from django.db.models import Exists, OuterRef


def agree(apps, schema_editor):
    user = apps.get_model("accounts", "User")
    user._base_manager.filter(deleted_at__isnull=False).update(is_active=False)
    export = apps.get_model("accounts", "DataExport")
    queued = export._base_manager.filter(state="queued").order_by()
    newer = queued.filter(user=OuterRef("user"), created_at__gt=OuterRef("created_at"))
    stale = list(queued.filter(Exists(newer)).values_list("pk", flat=True))
    export._base_manager.filter(pk__in=stale).update(state="failed")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0014_webhook_owner_to_be_told")]

    operations = [migrations.RunPython(agree, migrations.RunPython.noop)]
