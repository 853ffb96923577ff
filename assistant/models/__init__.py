from assistant.models.ai_model import AIModel
from assistant.models.conversation import Conversation, Message
from assistant.models.upstream import Upstream

__all__ = ["AIModel", "Conversation", "Message", "Upstream"]
