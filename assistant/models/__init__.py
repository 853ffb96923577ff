from assistant.models.ai_model import OPENAI_RESPONSES, AIModel, Upstream
from assistant.models.conversation import Conversation, Message
from assistant.models.provider_key import ProviderKey
from assistant.models.spare_calls import SpareCalls

__all__ = [
    "OPENAI_RESPONSES",
    "AIModel",
    "Conversation",
    "Message",
    "ProviderKey",
    "SpareCalls",
    "Upstream",
]
