"""Fill the tables as years of use would, by the database itself: `INSERT … SELECT`."""

from typing import Any

from allauth.account.models import EmailAddress
from django.db import connection, models

from accounts.models import ApiKey, AuditEvent, TokenFamily, User
from aiassist.lib import clock
from assistant.models import Conversation
from billing.models import Quota, Refusal, Subscription, UsageDay, UsageRecord
from billing.reporting.rollups import sum_everybody
from workspaces.models import IndexJob, Workspace

# Of n, the number of a row: somebody; the first hundred people do most of the work.
_BUSY = "(CASE WHEN n % 4 = 0 THEN n % 100 ELSE n * 7919 % {users} END)"
_DAYS = "now() - (n * 61.0 / {rows}) * interval '1 day'"
_PROVIDERS = "(ARRAY['openai','anthropic','ollama',''])[1 + n % 4]"


def fill(users: int, records: int) -> None:
    """Make people with keys, workspaces, jobs, conversations, and what they used."""
    some = f"'user_' || (n % {users})"
    _insert(
        User,
        users,
        id="'user_' || n",
        email="'p' || n || '@example.test'",
        full_name="'Person ' || n",
        password="'!'",
        date_joined=_DAYS.format(rows=users),
    )
    _insert(
        EmailAddress,
        users,
        user_id="'user_' || n",
        email="'p' || n || '@example.test'",
        verified="n % 20 <> 0",
        primary="true",
    )
    _insert(
        ApiKey,
        2 * users,
        id="'key_' || n",
        user_id=some,
        name="'laptop'",
        prefix="'aia_' || lpad(n::text, 8, '0')",
        digest="md5(n::text) || md5((-n)::text)",
        scopes='\'["assistant", "search"]\'::jsonb',
        created_at=_DAYS.format(rows=2 * users),
        expires_at="now() + interval '1 year'",
    )
    _insert(
        TokenFamily,
        users,
        id="'fam_' || n",
        user_id=some,
        created_at=_DAYS.format(rows=users),
    )
    _insert(
        Subscription,
        users // 5,
        id="'sub_' || n",
        user_id=some,
        tier_id="'pro'",
        starts_at=_DAYS.format(rows=users // 5),
    )
    _insert(
        Quota, users, user_id=some, hour_start=_hour("hour"), day_start=_hour("day")
    )
    _insert(
        AuditEvent,
        5 * users,
        id="'event_' || n",
        action="(ARRAY['login','key.created','user.changed','logout'])[1 + n % 4]",
        actor_id=some,
        subject_id=some,
        created_at=_DAYS.format(rows=5 * users),
    )
    _insert(
        Workspace,
        users,
        id="'workspace_' || n",
        user_id=some,
        name="'project ' || n",
        generation="1",
        last_generation="1",
        status="'ready'",
        created_at=_DAYS.format(rows=users),
    )
    _insert(
        IndexJob,
        3 * users,
        id="'job_' || n",
        workspace_id=f"'workspace_' || (n % {users})",
        user_id=some,
        state="(ARRAY['succeeded','failed','cancelled'])[1 + n % 3]",
        generation="1",
        created_at=_DAYS.format(rows=3 * users),
        finished_at=_DAYS.format(rows=3 * users),
        cleaned_at="now()",
    )
    _insert(
        Conversation,
        users,
        id="'conv_' || n",
        user_id=some,
        title="'Where is it?'",
        created_at=_DAYS.format(rows=users),
    )
    _insert(
        UsageRecord,
        records,
        id="'rec_' || n",
        reservation_id="'res_' || n",
        request_id="'req_' || n",
        user_id=f"'user_' || {_BUSY.format(users=users)}",
        tier_code="'pro'",
        endpoint="'POST /v1/chat/completions'",
        feature="(ARRAY['basic_chat','search','inline_completion'])[1 + n % 3]",
        provider=_PROVIDERS,
        model="(ARRAY['gpt','claude','qwen',''])[1 + n % 4]",
        tokens_in="n % 4000",
        tokens_out="n % 900",
        cost_usd_micros="n % 5000",
        status="(CASE WHEN n % 37 = 0 THEN 'error' ELSE 'ok' END)",
        latency_ms="200 + n % 3000",
        admitted_at=_DAYS.format(rows=records),
        created_at=_DAYS.format(rows=records),
    )
    minute = f"date_trunc('minute', {_DAYS.format(rows=2 * users)})"
    _insert(
        Refusal,
        2 * users,
        user_id=some,
        minute=minute,
        tier_code="'pro'",
        feature="'basic_chat'",
        reason="(ARRAY['quota_exceeded (hour)','provider_not_in_tier'])[1 + n % 2]",
        n_calls="1 + n % 9",
        first_at=minute,
        last_at=minute,
    )
    _sum_up()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _insert(table: type[models.Model], n_rows: int, /, **columns: str) -> None:
    """Insert rows; a column is an SQL expression of n, the others hold defaults."""
    names, expressions, values = [], [], []
    for field in table._meta.concrete_fields:
        given = columns.get(field.attname)
        if given is None and field.primary_key and not field.has_default():
            continue
        names.append(connection.ops.quote_name(field.column or field.attname))
        dated = isinstance(field, models.DateTimeField) and not field.null
        if given is None and dated and not field.has_default():
            given = "now()"
        if given is None:
            expressions.append("%s")
            values.append(_default(field))
        else:
            expressions.append(given.replace("%", "%%"))
    name = connection.ops.quote_name(table._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} ({', '.join(names)}) SELECT {', '.join(expressions)} "
            f"FROM generate_series(0::bigint, {n_rows - 1}) AS n "
            "ON CONFLICT DO NOTHING",
            values,
        )


def _default(field: "models.Field[Any, Any]") -> Any:
    value = field.get_default()
    if value is None and not field.null:
        value = "" if field.empty_strings_allowed else 0
    return field.get_db_prep_save(value, connection)


def _hour(part: str) -> str:
    return f"date_trunc('{part}', now())"


def _sum_up() -> None:
    # As `roll_up` does, which would take minutes for as many days at once.
    day = "(admitted_at AT TIME ZONE 'UTC')::date"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {UsageDay._meta.db_table} (user_id, day, feature, provider,
                model, requests, tokens_in, tokens_out, cost_usd_micros, errors)
            SELECT user_id, {day}, feature, provider, model,
                count(*), sum(tokens_in), sum(tokens_out), sum(cost_usd_micros),
                count(*) FILTER (WHERE status IN ('error', 'abandoned'))
            FROM {UsageRecord._meta.db_table}
            WHERE admitted_at < date_trunc('day', now() AT TIME ZONE 'UTC')
            GROUP BY user_id, {day}, feature, provider, model
            """
        )
        cursor.execute(
            "INSERT INTO billing_rollupmark (id, read_until) VALUES (1, now()) "
            "ON CONFLICT (id) DO UPDATE SET read_until = now()"
        )
    today, _ = clock.day_window(clock.now())
    for n in range(62):
        sum_everybody(today - clock.DAY * (n + 1))
