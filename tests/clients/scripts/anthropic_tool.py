import sys
from pathlib import Path

schema = {"type": "object", "properties": {"path": {"type": "string"}}}
tools = [{"name": "read_note", "description": "Read", "input_schema": schema}]
said = [{"role": "user", "content": sys.argv[1]}]
while True:
    message = client.messages.create(
        model="auto", max_tokens=1024, messages=said, tools=tools
    )
    said.append({"role": "assistant", "content": message.content})
    calls = [block for block in message.content if block.type == "tool_use"]
    if not calls:
        break
    results = [
        {
            "type": "tool_result",
            "tool_use_id": call.id,
            "content": Path(call.input["path"]).read_text(),
        }
        for call in calls
    ]
    said.append({"role": "user", "content": results})
print(message.content[0].text)
