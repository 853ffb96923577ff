"""Server-sent events as we write them.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from aiassist.lib import jsons

HEARTBEAT = b": keep-alive\n\n"


def event(name: str, data: object) -> bytes:
    """Return one event with a JSON body."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), jsons.dumps(data))
