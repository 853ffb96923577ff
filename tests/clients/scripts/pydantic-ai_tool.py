import sys
from pathlib import Path


@agent.tool_plain
def read_note(path: str) -> str:
    """Read a note."""
    return Path(path).read_text()


print(agent.run_sync(sys.argv[1]).output)
