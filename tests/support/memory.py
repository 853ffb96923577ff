"""What this process remembers beside the database, and how it forgets it.

Which test files share a process differs from run to run, so no test may meet what
another one left: nor in Redis, nor in a module's own variables.
"""

from django.core.cache.backends.locmem import LocMemCache

from aiassist.lib import cache, cached_principals
from aiassist.lib import redis as lib_redis
from aiassist.lib.shared_breaker import breakers
from assistant.gateway import vitals
from assistant.providers import ollama, openai
from billing.metering import refusals, windows
from billing.metering.outbox import outbox


def forget_what_waits() -> None:
    """Drop what a thread of this process would write into the database later."""
    refusals.forget()
    outbox.forget()


def forget_everything() -> None:
    """Remember no more than a process that has just started."""
    forget_what_waits()
    lib_redis.client().flushall()
    breakers.forget()
    for breaker in (windows.breaker, cached_principals.breaker, cache.breaker):
        breaker.succeeded()
    LocMemCache("fallback", {}).clear()
    ollama.listing.forget()
    openai.listing.forget()
    vitals._told_at.clear()
