"""Programs and libraries, each with a script that asks one question."""

import json
from collections.abc import Iterator

from aiassist.connect.parts import (
    MCP,
    MODEL,
    VARIABLE,
    Setup,
    Snippet,
    as_json,
    mcp_headers,
)

QUESTION = "What does this project do?"


def llm(setup: Setup) -> Iterator[Snippet]:
    """Source: llm.datasette.io/en/stable/other-models.html."""
    yield Snippet(
        "extra-openai-models.yaml",
        "yaml",
        "- model_id: aiassist\n"
        f"  model_name: {MODEL}\n"
        f"  api_base: {setup.base}\n"
        "  api_key_name: aiassist\n"
        "  supports_tools: true\n",
    )
    yield Snippet(
        "In a shell",
        "bash",
        'cp extra-openai-models.yaml "$(dirname "$(llm logs path)")"\n'
        f"llm keys set aiassist --value {setup.key}\n"
        f'llm -m aiassist "{QUESTION}"\n',
    )


def curl(setup: Setup) -> Iterator[Snippet]:
    body: dict[str, object] = {"message": QUESTION}
    if setup.workspace_id:
        body["workspace_id"] = setup.workspace_id
    yield Snippet(
        "In a shell",
        "bash",
        f"export {VARIABLE}={setup.key}\n"
        f"curl -sN {setup.origin}/api/v1/assistant/chat \\\n"
        f'  -H "Authorization: Bearer ${VARIABLE}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{json.dumps({**body, 'stream': True})}'\n",
    )


def python(setup: Setup) -> Iterator[Snippet]:
    extra = ""
    if setup.workspace_id:
        extra = f'    extra_body={{"workspace_id": "{setup.workspace_id}"}},\n'
    yield Snippet("In a shell", "bash", "pip install openai\n")
    yield Snippet(
        "ask.py",
        "python",
        "from openai import OpenAI\n\n"
        "client = OpenAI(\n"
        f'    base_url="{setup.base}",\n'
        f'    api_key="{setup.key}",\n'
        ")\n"
        "stream = client.chat.completions.create(\n"
        f'    model="{MODEL}",\n'
        f'    messages=[{{"role": "user", "content": "{QUESTION}"}}],\n'
        f"{extra}"
        "    stream=True,\n"
        ")\n"
        "for chunk in stream:\n"
        "    if chunk.choices:\n"
        '        print(chunk.choices[0].delta.content or "", end="", flush=True)\n',
    )


def node(setup: Setup) -> Iterator[Snippet]:
    """Source: github.com/openai/openai-node."""
    extra = ""
    if setup.workspace_id:
        extra = f'  workspace_id: "{setup.workspace_id}",\n'
    yield Snippet("In a shell", "bash", "npm install openai\n")
    yield Snippet(
        "ask.mjs",
        "javascript",
        'import OpenAI from "openai";\n\n'
        "const client = new OpenAI({\n"
        f'  baseURL: "{setup.base}",\n'
        f'  apiKey: "{setup.key}",\n'
        "});\n"
        "const stream = await client.chat.completions.create({\n"
        f'  model: "{MODEL}",\n'
        f'  messages: [{{ role: "user", content: "{QUESTION}" }}],\n'
        f"{extra}"
        "  stream: true,\n"
        "});\n"
        "for await (const chunk of stream) {\n"
        '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n'
        "}\n",
    )


def anthropic(setup: Setup) -> Iterator[Snippet]:
    """Source: github.com/anthropics/anthropic-sdk-python."""
    extra = ""
    if setup.workspace_id:
        extra = f'    extra_headers={{"X-Workspace-Id": "{setup.workspace_id}"}},\n'
    yield Snippet("In a shell", "bash", "pip install anthropic\n")
    yield Snippet(
        "ask.py",
        "python",
        "from anthropic import Anthropic\n\n"
        "client = Anthropic(\n"
        f'    base_url="{setup.origin}",\n'
        f'    api_key="{setup.key}",\n'
        ")\n"
        "with client.messages.stream(\n"
        f'    model="{MODEL}",\n'
        "    max_tokens=1024,\n"
        f'    messages=[{{"role": "user", "content": "{QUESTION}"}}],\n'
        f"{extra}"
        ") as stream:\n"
        "    for text in stream.text_stream:\n"
        '        print(text, end="", flush=True)\n',
    )


def langchain(setup: Setup) -> Iterator[Snippet]:
    """Source: docs.langchain.com/oss/python/integrations/chat/openai."""
    extra = ""
    if setup.workspace_id:
        extra = f'    extra_body={{"workspace_id": "{setup.workspace_id}"}},\n'
    yield Snippet("In a shell", "bash", "pip install langchain-openai\n")
    yield Snippet(
        "ask.py",
        "python",
        "from langchain_openai import ChatOpenAI\n\n"
        "model = ChatOpenAI(\n"
        f'    model="{MODEL}",\n'
        f'    base_url="{setup.base}",\n'
        f'    api_key="{setup.key}",\n'
        f"{extra}"
        ")\n"
        f'for chunk in model.stream("{QUESTION}"):\n'
        '    print(chunk.text, end="", flush=True)\n',
    )


def pydantic_ai(setup: Setup) -> Iterator[Snippet]:
    """Source: ai.pydantic.dev/models/openai (OpenAI-compatible models)."""
    extra = ""
    if setup.workspace_id:
        body = f'{{"extra_body": {{"workspace_id": "{setup.workspace_id}"}}}}'
        extra = f"    model_settings={body},\n"
    yield Snippet("In a shell", "bash", 'pip install "pydantic-ai-slim[openai]"\n')
    yield Snippet(
        "ask.py",
        "python",
        "from pydantic_ai import Agent\n"
        "from pydantic_ai.models.openai import OpenAIChatModel\n"
        "from pydantic_ai.providers.openai import OpenAIProvider\n\n"
        "provider = OpenAIProvider(\n"
        f'    base_url="{setup.base}",\n'
        f'    api_key="{setup.key}",\n'
        ")\n"
        "agent = Agent(\n"
        f'    OpenAIChatModel("{MODEL}", provider=provider),\n'
        f"{extra}"
        ")\n"
        f'print(agent.run_sync("{QUESTION}").output)\n',
    )


def mcp(setup: Setup) -> Iterator[Snippet]:
    """Source: modelcontextprotocol.io (streamable HTTP)."""
    server = {
        "type": "http",
        "url": f"{setup.origin}{MCP}",
        "headers": mcp_headers(setup),
    }
    yield Snippet(
        "The agent's mcp.json", "json", as_json({"mcpServers": {"aiassist": server}})
    )
