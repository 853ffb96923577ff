"""How large an upload may be, judged before it is read."""

from rest_framework.request import Request

from billing.models import Tier
from workspaces.content.storage import megabytes
from workspaces.errors import ArchiveTooLarge
from workspaces.room import room_of

# Multipart boundaries, and what an archive holds beside the files that we keep.
_SLACK_BYTES = 16 * 1024 * 1024


def largest_upload(tier: Tier) -> int:
    """Return how many bytes a request of this tier may have."""
    return tier.max_storage_bytes + _SLACK_BYTES


def require_upload_room(request: Request, tier: Tier) -> None:
    """Refuse by Content-Length what can never fit. Raises ArchiveTooLarge."""
    require_upload_size(content_length(request), tier)


def require_upload_size(n_bytes: int, tier: Tier) -> None:
    """Raise ArchiveTooLarge when the tier takes no request of this size."""
    if n_bytes > largest_upload(tier):
        raise too_large_upload(n_bytes, tier)


def too_large_upload(n_bytes: int, tier: Tier) -> ArchiveTooLarge:
    """Return the refusal of a request that is too long for the tier."""
    room = room_of(tier, largest_upload, megabytes)
    return ArchiveTooLarge(
        f"This upload has {megabytes(n_bytes)} or more. {room.sentence} Leave out what "
        "is not source code, or send the files with the sync endpoints.",
        policy="upload_bytes",
        scope="request",
        limit=largest_upload(tier),
        used=n_bytes,
        resets_at=None,
        alternatives=["Use the sync endpoints.", *room.alternatives],
    )


def content_length(request: Request) -> int:
    """Return the declared length, 0 where there is none."""
    declared = str(request.META.get("CONTENT_LENGTH") or "0")
    return int(declared) if declared.isdigit() else 0
