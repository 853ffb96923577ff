"""Lets the dry run of limits ask what a workspace's own calls would meet."""

from accounts.models import User
from aiassist.lib.registry import limit_judges
from billing.models import Tier
from workspaces.manifests import require_few_files
from workspaces.models import UserStorage
from workspaces.services import require_workspaces
from workspaces.storage import require_storage


def _storage(user: User, tier: Tier, n_bytes: int) -> None:
    held = UserStorage.objects.filter(user=user).first()
    require_storage(held.n_bytes if held else 0, n_bytes, tier)


def _files(user: User, tier: Tier, n_files: int) -> None:
    require_few_files(n_files, tier)


limit_judges.register("workspaces", require_workspaces)
limit_judges.register("storage_bytes", _storage)
limit_judges.register("files", _files)
