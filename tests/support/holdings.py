"""One of everything that a person may own, by the names the addresses use."""

from hashlib import sha256

from accounts.models import Webhook
from accounts.signing_in import tokens
from aiassist.lib.clock import now
from assistant.models import Conversation, ProviderKey
from tests.factories import PASSWORD
from tests.support.openapi import A_FILE
from tests.support.people import Person
from workspaces.content.files import put_file
from workspaces.jobs.queue import request_rebuild
from workspaces.models import GitSource
from workspaces.receiving.sync import start_sync


def holdings_of(person: Person) -> dict[str, str]:
    """Make one of each and return its id, and what a sign-in takes."""
    workspace = person.workspace
    # Named after the owner, so that no path is both people's.
    path = f"{person.user.full_name.lower()}.py"
    put_file(workspace=workspace, path=path, data=A_FILE)
    sync = start_sync(
        workspace=workspace,
        manifest={"b.py": sha256(A_FILE).hexdigest()},
        delete_missing=False,
    ).sync
    source = GitSource.objects.create(
        workspace=workspace, url="https://github.com/encode/httpx", wanted_at=now()
    )
    refresh = tokens.sign_in(person.user).refresh
    provider_key = ProviderKey.objects.create(
        user=person.user,
        provider="google",
        base_url="https://127.0.0.1:9",  # where no key can go
        sealed_key="v1.sealed.elsewhere",
    )
    # Where no message can go.
    webhook = Webhook.objects.create(user=person.user, url="https://127.0.0.1:9")
    conversation = Conversation.objects.create(user=person.user, title="kept")
    return {
        "workspace_id": workspace.pk,
        "path": path,
        "sync_id": sync.pk,
        "job_id": request_rebuild(workspace=workspace).pk,
        "key_id": person.api_key.pk,
        "session_id": person.user.token_families.get().pk,
        "conversation_id": conversation.pk,
        "hook_id": source.hook_id,
        "provider_key_id": provider_key.pk,
        "webhook_id": webhook.pk,
        "model_id": "extractive",
        "email": person.user.email,
        "password": PASSWORD,
        "refresh": refresh,
    }
