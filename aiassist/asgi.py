"""The ASGI entry point."""

import os

from django.core.asgi import get_asgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiassist.settings.production")

django_application = get_asgi_application()

# The apps' own imports need Django to be set up.
from aiassist.lib.asgi import UncleanEnds  # noqa: E402
from assistant.asgi import EndStreamsOnStop  # noqa: E402
from assistant.lean import LeanFaces  # noqa: E402
from workspaces.receiving.gate import UploadGate  # noqa: E402
from workspaces.vectors import get_store  # noqa: E402

# A process that cannot load its addresses or its vector database's client must not
# start, and no request should wait for them: on a busy machine the client takes longer
# to import than /health/detailed waits for an answer. Neither asks any server.
_ = get_resolver().url_patterns, get_store()

application = EndStreamsOnStop(LeanFaces(UncleanEnds(UploadGate(django_application))))
