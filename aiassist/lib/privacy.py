"""Every stored field is classified; export is generated from it.

Each app lists its tables in `privacy.py`, loaded from its AppConfig's ready(). A
test fails on a field that is in no list, so that a new one cannot be forgotten.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.apps import apps
from django.db import models

from aiassist.lib.clock import rfc3339

# Why a field is not exported.
Reason = Literal[
    "secret",  # a credential, or what one could be made from
    "internal",  # bookkeeping that says nothing about the person
    "bulk",  # handed out by its own door, too large for a document
    "shared",  # partly about others: accounts.own_data.exports tells their part
]
Erase = Literal[
    "delete",  # goes with the person
    "anonymise",  # stays without a link to the person
    "keep",  # holds nothing about a person
]


@dataclass(frozen=True, slots=True)
class Classified:
    """What a table holds about whom, for how long, and what becomes of it."""

    label: str  # "app.Model"
    owner: str  # lookup from a row to its user; "": nobody's
    export: tuple[str, ...]
    withheld: Mapping[str, Reason]
    retention: str  # a sentence
    erase: Erase

    @property
    def model(self) -> type[models.Model]:
        return apps.get_model(self.label)

    def unclassified(self) -> set[str]:
        """Return the columns that are in neither list, or in both."""
        columns = {field.name for field in self.model._meta.concrete_fields}
        return (columns ^ {*self.export, *self.withheld}) | (
            set(self.export) & set(self.withheld)
        )


_classified: dict[str, Classified] = {}


def classify(
    label: str,
    *,
    owner: str,
    export: tuple[str, ...] = (),
    withheld: Mapping[str, Reason] | None = None,
    retention: str,
    erase: Erase,
) -> None:
    """Add or replace a table's classification."""
    _classified[label.lower()] = Classified(
        label, owner, export, withheld or {}, retention, erase
    )


def classifications() -> tuple[Classified, ...]:
    """Return all that was classified, in order."""
    return tuple(_classified.values())


def of_model(model: type[models.Model]) -> Classified | None:
    """Return a model's classification."""
    return _classified.get(model._meta.label_lower)


def export_rows(user_id: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield (table, rows) of all that belongs to a user, JSON-ready."""
    for table in classifications():
        if not table.owner or not table.export:
            continue
        columns = {f.name: f.attname for f in table.model._meta.concrete_fields}
        names = [columns[name] for name in table.export]
        rows = (
            table.model._base_manager.filter(**{table.owner: user_id})
            .order_by("pk")
            .values(*names)
        )
        yield table.label, [_plain(row) for row in rows.iterator(chunk_size=500)]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: rfc3339(value) if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }
