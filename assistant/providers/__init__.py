"""One vendor, one file; here is the list of them.

OpenAI has two wires: `openai` decides between chat, which it speaks itself, and
`responses`. `openai_wire` and `responses_wire` read, or pass on, what comes back.

The order is that of a default choice: what runs locally and costs nothing first, and
last the one that is always there.
"""

from assistant.providers.anthropic import AnthropicProvider
from assistant.providers.base import Provider
from assistant.providers.embedding import Embedder, LocalEmbedder
from assistant.providers.extractive import ExtractiveProvider
from assistant.providers.google import GoogleProvider
from assistant.providers.ollama import OllamaProvider
from assistant.providers.openai import OpenAIProvider

_OLLAMA, _OPENAI, _GOOGLE = OllamaProvider(), OpenAIProvider(), GoogleProvider()

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        _OLLAMA,
        _OPENAI,
        AnthropicProvider(),
        _GOOGLE,
        ExtractiveProvider(),
    )
}
EMBEDDERS: dict[str, Embedder] = {
    embedder.name: embedder for embedder in (LocalEmbedder(), _OLLAMA, _OPENAI, _GOOGLE)
}
