"""Second factors' secrets move from a cipher of their own to the vault's key ring.

The old cipher stays here alone, so that both directions work.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import migrations

from aiassist.lib.vault import SealBroken, seal, unseal

PURPOSE = "second factor"
SEALED = ("secret", "seed")  # of an authenticator app; of recovery codes


def _fernet():
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [
        hashlib.sha256(f"accounts second factor:{key}".encode()).digest()
        for key in keys
    ]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(d)) for d in digests])


def _rewrite(apps, change):
    authenticators = apps.get_model("mfa", "Authenticator")._base_manager
    for row in authenticators.exclude(type="webauthn").iterator():
        for name in SEALED:
            if name in row.data:
                try:
                    row.data[name] = change(row.data[name])
                except (InvalidToken, SealBroken):
                    continue  # its key is gone: it opens nothing any more
        row.save(update_fields=["data"])


def seal_all(apps, schema_editor):
    old = _fernet()
    _rewrite(
        apps,
        lambda text: seal(old.decrypt(text.encode()).decode(), purpose=PURPOSE),
    )


def unseal_all(apps, schema_editor):
    old = _fernet()
    _rewrite(
        apps,
        lambda text: old.encrypt(unseal(text, purpose=PURPOSE).encode()).decode(),
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_connected_apps"),
        ("mfa", "0003_authenticator_type_uniq"),
    ]

    operations = [migrations.RunPython(seal_all, unseal_all)]
