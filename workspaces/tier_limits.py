"""Lets billing ask what is stored: would one more fit, and who has more than that?"""

from django.db.models import Count, Max, QuerySet

from accounts.models import User
from aiassist.lib.registry import limit_judges, tier_holdings
from billing.models import Tier
from workspaces.content.files import require_short
from workspaces.content.manifests import require_few_files
from workspaces.content.storage import require_storage
from workspaces.models import SourceFile, UserStorage, Workspace
from workspaces.services import require_workspaces


def _storage(user: User, tier: Tier, n_bytes: int) -> None:
    held = UserStorage.objects.filter(user=user).first()
    require_storage(held.n_bytes if held else 0, n_bytes, tier)


def _files(user: User, tier: Tier, n_files: int) -> None:
    require_few_files(n_files, tier)


def _file_bytes(user: User, tier: Tier, n_bytes: int) -> None:
    require_short("", n_bytes, tier)


_Held = list[tuple[str, int]]


def _many_workspaces(users: QuerySet[User], limit: int) -> _Held:
    held = _living(users).values("user_id").annotate(n=Count("pk"))
    return list(held.filter(n__gt=limit).values_list("user_id", "n"))


def _many_bytes(users: QuerySet[User], limit: int) -> _Held:
    held = UserStorage.objects.filter(user__in=users.values("pk"), n_bytes__gt=limit)
    return list(held.values_list("user_id", "n_bytes"))


def _many_files(users: QuerySet[User], limit: int) -> _Held:
    held = _living(users).filter(n_files__gt=limit)
    return list(
        held.values("user_id").annotate(n=Max("n_files")).values_list("user_id", "n")
    )


def _large_files(users: QuerySet[User], limit: int) -> _Held:
    files = SourceFile.objects.filter(workspace__in=_living(users), n_bytes__gt=limit)
    held = files.order_by().values("workspace__user_id").annotate(n=Max("n_bytes"))
    return list(held.values_list("workspace__user_id", "n"))


def _living(users: QuerySet[User]) -> QuerySet[Workspace]:
    mine = Workspace.objects.filter(user__in=users.values("pk"), deleted_at=None)
    return mine.order_by()


tier_holdings.register("max_workspaces", _many_workspaces)
tier_holdings.register("max_storage_bytes", _many_bytes)
tier_holdings.register("max_files_per_workspace", _many_files)
tier_holdings.register("max_file_bytes", _large_files)
limit_judges.register("workspaces", require_workspaces)
limit_judges.register("storage_bytes", _storage)
limit_judges.register("files", _files)
limit_judges.register("file_bytes", _file_bytes)
