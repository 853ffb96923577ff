"""Record which place answered and who paid; let tiers allow keys of one's own.

The guard of the usage records is made anew: it holds the new columns too, and SQLite
drops it when Django rebuilds the table.
"""

from importlib import import_module

from django.db import migrations, models

_guarding = import_module("billing.migrations.0003_guard_usage_records")
_NEW = ("upstream", "own_key", "fallback")


def guard(apps, schema_editor):
    _guarding.guard_columns(schema_editor, (*_guarding.COLUMNS, *_NEW))


def guard_as_before(apps, schema_editor):
    _guarding.guard_columns(schema_editor, _guarding.COLUMNS)


def unguard(apps, schema_editor):
    _guarding.unguard(apps, schema_editor)


def allow_own_keys(apps, schema_editor):
    tiers = apps.get_model("billing", "Tier")
    tiers.objects.filter(code__in=["pro", "enterprise"]).update(own_provider_keys=True)


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_number_of_the_last_block")]

    operations = [
        # Going back ends here, with the columns gone.
        migrations.RunPython(unguard, guard_as_before),
        migrations.AddField(
            model_name="usagerecord",
            name="upstream",
            field=models.CharField(blank=True, default="", max_length=80),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="own_key",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="fallback",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "None"),
                    ("upstream", "Upstream"),
                    ("model", "Model"),
                    ("quota", "Quota"),
                ],
                default="",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="tier",
            name="own_provider_keys",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(allow_own_keys, migrations.RunPython.noop),
        migrations.RunPython(guard, unguard),
    ]
