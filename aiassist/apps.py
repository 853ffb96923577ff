"""The roof's app: binds the Celery app and the crash reports in every process."""

from django.apps import AppConfig
from django.conf import settings

from aiassist import checks as checks  # importing registers them
from aiassist import mailbox
from aiassist.celery import app as celery_app
from aiassist.crashes import report_crashes
from aiassist.lib.registry import erasers


class AiassistConfig(AppConfig):
    name = "aiassist"

    def ready(self) -> None:
        celery_app.set_default()
        report_crashes()
        if settings.DEV_MAILBOX:
            erasers.register("mailbox", mailbox.forget_mails_to)
