import json
import sys
from pathlib import Path

parameters = {"type": "object", "properties": {"path": {"type": "string"}}}
function = {"name": "read_note", "description": "Read", "parameters": parameters}
tools = [{"type": "function", "function": function}]
said = [{"role": "user", "content": sys.argv[1]}]
while True:
    answer = client.chat.completions.create(model="auto", messages=said, tools=tools)
    message = answer.choices[0].message
    said.append(message.model_dump(exclude_none=True))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        text = Path(json.loads(call.function.arguments)["path"]).read_text()
        said.append({"role": "tool", "tool_call_id": call.id, "content": text})
print(message.content)
