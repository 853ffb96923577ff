"""The audit log may forget from where an erased person acted, and nothing else.

TRUNCATE is left to the owner of the table. On SQLite a later migration that rebuilds
the table must make the triggers again.
"""

from django.db import migrations

_NAME = "accounts_auditevent_append_only"
POSTGRESQL = (
    f"""
    CREATE OR REPLACE FUNCTION {_NAME}() RETURNS trigger AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND NEW.ip IS NULL
           AND to_jsonb(NEW) - 'ip' = to_jsonb(OLD) - 'ip' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'the audit log is append-only';
    END
    $$ LANGUAGE plpgsql
    """,
)
POSTGRESQL_BACK = (
    f"""
    CREATE OR REPLACE FUNCTION {_NAME}() RETURNS trigger AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only';
    END
    $$ LANGUAGE plpgsql
    """,
)
_KEPT = "id created_at action actor_id subject_id request_id details".split()
_SAME = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in _KEPT)
_DROP = "DROP TRIGGER accounts_auditevent_no_update"
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
_ON = "CREATE TRIGGER accounts_auditevent_no_update BEFORE UPDATE ON accounts_auditevent"
SQLITE = (_DROP, f"{_ON} WHEN NOT (NEW.ip IS NULL AND {_SAME}) {_REFUSE}")
SQLITE_BACK = (_DROP, f"{_ON} {_REFUSE}")


def run(statements):
    def forwards(apps, schema_editor):
        for statement in statements.get(schema_editor.connection.vendor, ()):
            schema_editor.execute(statement)

    return forwards


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_impersonation_right")]

    operations = [
        migrations.RunPython(
            run({"postgresql": POSTGRESQL, "sqlite": SQLITE}),
            run({"postgresql": POSTGRESQL_BACK, "sqlite": SQLITE_BACK}),
        ),
    ]
