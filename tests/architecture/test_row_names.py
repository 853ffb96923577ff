"""M5: a row's name stands in admin headings, messages and logs: it tells no secret."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import models

from aiassist.lib.privacy import of_model

OURS = ("accounts", "billing", "workspaces", "assistant")
MODELS = [m for label in OURS for m in apps.get_app_config(label).get_models()]
MOMENT = datetime(2026, 11, 23, tzinfo=UTC)


def filled(model: type[models.Model], *, deep: bool = True) -> Any:
    """Return an unsaved row whose every text says which column it is of."""
    row = model()
    for field in model._meta.concrete_fields:
        if isinstance(field, models.ForeignKey):
            other = field.related_model
            if deep and isinstance(other, type):
                setattr(row, field.name, filled(other, deep=False))
        elif isinstance(field, models.CharField | models.TextField):
            setattr(row, field.name, f"canary of {field.name}, all of it")
        elif isinstance(field, models.DateField):
            setattr(row, field.name, MOMENT)
        elif isinstance(field, models.JSONField):
            setattr(row, field.name, {"canary": f"canary of {field.name}, all of it"})
    return row


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_m5_a_rows_name_holds_no_secret_and_no_content(
    model: type[models.Model],
) -> None:
    row, table = filled(model), of_model(model)
    assert table is not None
    # What is shared with others is told in part; it is neither secret nor content.
    told = ("internal", "shared")
    hidden = {name for name, why in table.withheld.items() if why not in told}

    name = str(row)

    assert name
    assert not [column for column in hidden if f"canary of {column}, all" in name]
    assert not any(f"canary of {c}, all" in name for c in ("content", "text", "body"))
