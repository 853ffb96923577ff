from assistant.models.ai_model import AIModel
from assistant.models.conversation import Conversation, Message
from assistant.models.provider_key import ProviderKey
from assistant.models.spare_calls import SpareCalls
from assistant.models.upstream import Upstream

__all__ = [
    "AIModel",
    "Conversation",
    "Message",
    "ProviderKey",
    "SpareCalls",
    "Upstream",
]
