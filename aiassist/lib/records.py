"""Values that are made anew for each call, at a fifth of the cost.

A frozen dataclass sets each field through `object.__setattr__`: the hundred and eighty
fields of one metered call took a twelfth of its time. So these are frozen for the type
checker alone; when it runs, nothing stops one who changes them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, **options: Any) -> Any:
        """Do as `dataclass`, with fields that are set as any other's."""
        assert frozen
        return dataclass(frozen=False, unsafe_hash=True, **options)
