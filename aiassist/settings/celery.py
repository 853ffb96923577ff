"""Celery: queues `index` and `default`. A message carries ids only.

Source: https://docs.celeryq.dev/en/stable/userguide/configuration.html
"""

from aiassist import env


def broker_url(redis_url: str) -> str:
    """Return a Redis address in Celery's words, which differ for a socket."""
    if not redis_url.startswith("unix://"):
        return redis_url
    place = redis_url.removeprefix("unix").replace("db=", "virtual_host=")
    return f"redis+socket{place}"


CELERY_BROKER_URL = broker_url(
    env.url(
        "REDIS_URL", "redis://127.0.0.1:6379/0", schemes=("redis", "rediss", "unix")
    )
)
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"workspaces.index": {"queue": "index"}}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A message not acknowledged within this long is given to another worker.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    # A request never waits for a broker that is away: the sweeper sends again.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# A worker that has not renewed its lease for so long is taken for dead.
INDEX_LEASE_SECONDS = env.integer("INDEX_LEASE_SECONDS", 30, least=1, most=3600)
# Periodic work; each app's tasks are named `app.verb`.
CELERY_BEAT_SCHEDULE = {
    "sweep git imports": {"task": "workspaces.sweep_imports", "schedule": 30.0},
    "sweep index jobs": {"task": "workspaces.sweep_jobs", "schedule": 15.0},
    "renew outdated indexes": {"task": "workspaces.renew_outdated", "schedule": 60.0},
    "reconcile vectors": {"task": "workspaces.reconcile", "schedule": 900.0},
    "sweep reservations": {"task": "billing.sweep_reservations", "schedule": 30.0},
    "sweep quotas": {"task": "billing.sweep_quotas", "schedule": 30.0},
    "roll up usage": {"task": "billing.roll_up", "schedule": 60.0},
    "prune refusals": {"task": "billing.prune_refusals", "schedule": 3600.0},
    "erase deleted users": {"task": "accounts.sweep_erasures", "schedule": 20.0},
    "tidy accounts": {"task": "accounts.tidy", "schedule": 3600.0},
    "sweep webhooks": {"task": "accounts.sweep_webhooks", "schedule": 10.0},
    "warn of expiring keys": {"task": "accounts.warn_of_expiry", "schedule": 3600.0},
}
