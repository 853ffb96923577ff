"""The database holds what the code relies on: states, and who is deleted is disabled."""

from django.db import migrations, models
from django.db.models import Q


def known(model, states, name):
    return migrations.AddConstraint(
        model_name=model,
        constraint=models.CheckConstraint(condition=Q(state__in=states), name=name),
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_rows_agree_with_rules")]

    operations = [
        known("dataexport", ["queued", "ready", "failed"], "export_state_known"),
        known("idempotentcall", ["running", "done", "lost"], "idempotent_state_known"),
        known(
            "webhookdelivery",
            ["waiting", "delivered", "failed"],
            "delivery_state_known",
        ),
        migrations.AddConstraint(
            model_name="dataexport",
            constraint=models.UniqueConstraint(
                fields=["user"],
                condition=Q(state="queued"),
                name="export_one_queued_per_user",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(is_active=False),
                name="user_deleted_is_disabled",
                violation_error_message="A deleted user cannot be enabled.",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.CheckConstraint(
                condition=Q(disabled_at__isnull=True, disabled_reason="")
                | Q(disabled_at__isnull=False) & ~Q(disabled_reason=""),
                name="webhook_disabled_for_a_reason",
            ),
        ),
    ]
