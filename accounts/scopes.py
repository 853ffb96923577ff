"""What a credential may be limited to."""

ASSISTANT = "assistant"  # chat, explain, generate, complete, /v1
SEARCH = "search"  # search and query
WORKSPACES = "workspaces"  # create, sync, list and delete workspaces
USAGE = "usage"  # limits and usage
ACCOUNT = "account"  # the profile, keys and sessions

ALL_SCOPES = frozenset({ASSISTANT, SEARCH, WORKSPACES, USAGE, ACCOUNT})
# A key in an editor should not be able to make more keys.
DEFAULT_KEY_SCOPES = ALL_SCOPES - {ACCOUNT}

WORDS = {  # as a person is asked
    ASSISTANT: "Assistant: chat, explain, generate, complete",
    SEARCH: "Search: find code",
    WORKSPACES: "Workspaces: create, sync and delete them",
    USAGE: "Usage: read limits and usage",
    ACCOUNT: "Account: read and change the profile, make keys",
}
