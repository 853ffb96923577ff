"""The environment of a production process, complete and valid."""

import os
from collections.abc import Mapping

SECRETS = {
    "SECRET_KEY": "s" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO",
    "JWT_SECRET": "j" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO",
    "API_KEY_PEPPER": "p" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO",
}
ADDRESSES = {
    "DATABASE_URL": "postgresql://none@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "QDRANT_URL": "http://127.0.0.1:1",
    "ALLOWED_HOSTS": "aiassist.example.test",
}


def production_env(**changes: str) -> Mapping[str, str]:
    """Return what compose.yml gives a process; `changes` on top."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "DATA_DIR", "COVERAGE_PROCESS_CONFIG")
    }
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "aiassist.settings.production",
        "PYTHONUNBUFFERED": "1",
        **SECRETS,
        **ADDRESSES,
        **changes,
    }
