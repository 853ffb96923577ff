import sys
from pathlib import Path

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool


@tool
def read_note(path: str) -> str:
    """Read a note."""
    return Path(path).read_text()


able = model.bind_tools([read_note])
said = [HumanMessage(sys.argv[1])]
while True:
    answer = able.invoke(said)
    said.append(answer)
    if not answer.tool_calls:
        break
    said += [read_note.invoke(call) for call in answer.tool_calls]
print(answer.text)
