"""Logs: one JSON object a line in production, readable lines elsewhere."""

from typing import Any

from aiassist import env

LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", among=("DEBUG", "INFO", "WARNING", "ERROR"))


def logging_config(*, lines: str, access: str = LOG_LEVEL) -> dict[str, Any]:
    """Return LOGGING: `lines` is "JsonLines" or "ReadableLines".

    `access` is the level of uvicorn's own lines: its start and stop, and one for
    each request, all of them INFO.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": "aiassist.lib.logs.RequestIdFilter"},
            "hostile": {"()": "aiassist.lib.logs.HostileInOneLine"},
            "without_query": {"()": "aiassist.lib.logs.WithoutQuery"},
        },
        "formatters": {"lines": {"()": f"aiassist.lib.logs.{lines}"}},
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "filters": ["request_id", "hostile"],
            }
        },
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            **{
                name: {"level": LOG_LEVEL}
                for name in ("aiassist", "accounts", "billing", "workspaces")
            },
            "assistant": {"level": LOG_LEVEL},
            "celery": {"level": "INFO" if lines == "JsonLines" else "WARNING"},
            # Its own handlers would mail and print beside ours.
            "django": {"level": "INFO", "handlers": [], "propagate": True},
            # 4xx are the caller's affair and stand in the access lines.
            "django.request": {"level": "ERROR"},
            # SQL holds values.
            "django.db.backends": {"level": "WARNING"},
            "uvicorn": {"level": access, "handlers": [], "propagate": True},
            "uvicorn.access": {
                "level": access,
                "handlers": [],
                "filters": ["without_query"],
                "propagate": True,
            },
        },
    }


LOGGING = logging_config(lines="ReadableLines", access="WARNING")
