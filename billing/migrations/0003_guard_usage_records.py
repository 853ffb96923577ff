"""Let the database itself refuse changes to usage records.

Only the erasure of a user may touch one: `user_id` becomes NULL, what names the
person's request, key and workspace may go, and what was used and cost stays.

SQLite drops a table's triggers when Django rebuilds the table to alter it: a later
migration of the usage records has to create this one again.
"""

from django.db import migrations

_COLUMNS = (
    "id",
    "reservation_id",
    "tier_code",
    "endpoint",
    "feature",
    "provider",
    "model",
    "tokens_in",
    "tokens_out",
    "cost_usd_micros",
    "estimated",
    "status",
    "latency_ms",
    "first_token_ms",
    "admitted_at",
    "created_at",
)
_CHANGED = {
    "postgresql": " OR ".join(f"NEW.{c} IS DISTINCT FROM OLD.{c}" for c in _COLUMNS),
    "sqlite": " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in _COLUMNS),
}
_GUARD = {
    "postgresql": [
        f"""
        CREATE FUNCTION billing_usage_record_is_final() RETURNS trigger AS $$
        BEGIN
            IF NEW.user_id IS NOT NULL OR {_CHANGED["postgresql"]} THEN
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
    ],
    "sqlite": [
        f"""
        CREATE TRIGGER usage_record_is_final BEFORE UPDATE ON billing_usagerecord
        WHEN NEW.user_id IS NOT NULL OR {_CHANGED["sqlite"]}
        BEGIN SELECT RAISE(ABORT, 'usage records are final'); END
        """
    ],
}
_UNGUARD = {
    "postgresql": [
        "DROP TRIGGER IF EXISTS usage_record_is_final ON billing_usagerecord",
        "DROP FUNCTION IF EXISTS billing_usage_record_is_final()",
    ],
    "sqlite": ["DROP TRIGGER IF EXISTS usage_record_is_final"],
}


def guard(apps, schema_editor):
    for statement in _GUARD[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    for statement in _UNGUARD[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_seed_tiers")]

    operations = [migrations.RunPython(guard, unguard)]
