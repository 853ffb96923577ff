"""Record which place answered and who paid; let tiers allow keys of one's own.

The guard of the usage records is made anew: it holds the new columns too, and SQLite
drops it when Django rebuilds the table.
"""

from django.db import migrations, models

_BEFORE = (
    *("id", "reservation_id", "tier_code", "endpoint", "feature", "provider", "model"),
    *("tokens_in", "tokens_out", "cost_usd_micros", "estimated", "status"),
    *("latency_ms", "first_token_ms", "admitted_at", "created_at"),
)
_AFTER = (*_BEFORE, "upstream", "own_key", "fallback")


def _guard(vendor, columns):
    differs = "IS NOT" if vendor == "sqlite" else "IS DISTINCT FROM"
    changed = " OR ".join(f"NEW.{c} {differs} OLD.{c}" for c in columns)
    if vendor == "sqlite":
        return [
            f"""
            CREATE TRIGGER usage_record_is_final BEFORE UPDATE ON billing_usagerecord
            WHEN NEW.user_id IS NOT NULL OR {changed}
            BEGIN SELECT RAISE(ABORT, 'usage records are final'); END
            """
        ]
    return [
        f"""
        CREATE FUNCTION billing_usage_record_is_final() RETURNS trigger AS $$
        BEGIN
            IF NEW.user_id IS NOT NULL OR {changed} THEN
                RAISE EXCEPTION 'usage records are final'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$ LANGUAGE plpgsql
        """,
        """
        CREATE TRIGGER usage_record_is_final BEFORE UPDATE ON billing_usagerecord
        FOR EACH ROW EXECUTE FUNCTION billing_usage_record_is_final()
        """,
    ]


_UNGUARD = {
    "postgresql": [
        "DROP TRIGGER IF EXISTS usage_record_is_final ON billing_usagerecord",
        "DROP FUNCTION IF EXISTS billing_usage_record_is_final()",
    ],
    "sqlite": ["DROP TRIGGER IF EXISTS usage_record_is_final"],
}


def guard(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for statement in _guard(vendor, _AFTER):
        schema_editor.execute(statement)


def guard_as_before(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for statement in _guard(vendor, _BEFORE):
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    for statement in _UNGUARD[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


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
