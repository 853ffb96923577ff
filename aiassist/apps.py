"""The roof's app: binds the Celery app and the crash reports in every process."""

from django.apps import AppConfig

from aiassist import checks as checks  # importing registers them
from aiassist.celery import app as celery_app
from aiassist.crashes import report_crashes


class AiassistConfig(AppConfig):
    name = "aiassist"

    def ready(self) -> None:
        celery_app.set_default()
        report_crashes()
