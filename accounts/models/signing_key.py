"""What signs ID tokens when the environment names no key."""

from typing import ClassVar

from django.db import models

from aiassist.lib.clock import now


class SigningKey(models.Model):
    """An RSA key of this site, made when it was first needed."""

    sealed = models.TextField()  # PEM, opened by aiassist.lib.vault
    created_at = models.DateTimeField(default=now)

    objects: ClassVar[models.Manager["SigningKey"]] = models.Manager()

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"signing key {self.pk}"
