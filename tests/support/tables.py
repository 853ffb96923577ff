"""Put the tables back: after a test that committed, and between a walk's cases.

Django would truncate every table and make the rights anew: a third of a second for a
few rows. A copy of what the migrations sowed is kept in a schema of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

_KEEP = """
CREATE SCHEMA sown;
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'django_migrations'
    LOOP
        EXECUTE format('CREATE TABLE sown.%1$I AS TABLE public.%1$I', name);
    END LOOP;
END $$;
CREATE SCHEMA counted;
CREATE TABLE counted.ids AS
    SELECT sequencename, last_value FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL;
"""

# Who still writes is waited for, as TRUNCATE would. No trigger guards what is deleted,
# and no key: every table is put back in the same transaction. Who counts ids anew, as
# `flush` does, would give the next row the id of a sown one.
_PUT_BACK = """
SET LOCAL session_replication_role = replica;
DO $$
DECLARE
    name text;
    changed boolean;
BEGIN
    EXECUTE (
        SELECT 'LOCK TABLE ' || string_agg(format('public.%I', tablename), ', ')
            || ' IN EXCLUSIVE MODE'
        FROM pg_tables WHERE schemaname = 'sown'
    );
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'sown'
    LOOP
        EXECUTE format(
            'SELECT EXISTS ((TABLE public.%1$I EXCEPT TABLE sown.%1$I)'
            ' UNION ALL (TABLE sown.%1$I EXCEPT TABLE public.%1$I))', name
        ) INTO changed;
        IF changed THEN
            EXECUTE format('DELETE FROM public.%I', name);
            EXECUTE format('INSERT INTO public.%1$I TABLE sown.%1$I', name);
        END IF;
    END LOOP;
END $$;
SELECT setval(format('public.%I', sequencename)::regclass, kept.last_value)
FROM counted.ids AS kept JOIN pg_sequences AS now USING (sequencename)
WHERE now.schemaname = 'public' AND COALESCE(now.last_value, 0) < kept.last_value;
"""


def keep_what_is_sown() -> None:
    """Copy all rows, once, while no test has run."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP)


def put_back_what_was_sown(*args: object) -> None:
    """Undo what a test committed."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PUT_BACK)


@contextmanager
def undone() -> Iterator[None]:
    """Undo what the block writes: a walk's cases share their people (0.1 s each)."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
