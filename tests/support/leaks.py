"""M5 over the whole suite: no log line of any test holds a secret or a canary.

What is looked at is the line as code wrote it, before the last line of defence in
aiassist/lib/logs.py cuts it.
"""

import logging
import re
import traceback

from accounts.keys import has_key_form
from tests.factories import PASSWORD

_KEY = re.compile(r"aia_\w{36}")
_WORDS = re.compile(rf"canary|kanarienvogel|{re.escape(PASSWORD)}", re.IGNORECASE)


class Leaks(logging.Handler):
    """Collects the lines that should not have been written."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "".join(traceback.format_exception_only(record.exc_info[1]))
        keys = (key for key in _KEY.findall(text) if has_key_form(key))
        if next(keys, None) or _WORDS.search(text):
            self.found.append(f"{record.name}: {text}")

    def watch(self) -> None:
        """Listen to every logger, those that keep to themselves as well."""
        logging.getLogger().addHandler(self)
        for logger in logging.Logger.manager.loggerDict.values():
            if isinstance(logger, logging.Logger) and not logger.propagate:
                logger.addHandler(self)
