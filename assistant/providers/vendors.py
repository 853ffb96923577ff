"""Where the vendors themselves are: what a user's key is for, unless told otherwise.

Not the settings' addresses: an operator may have pointed those elsewhere, and a user's
key for a vendor goes to that vendor.
"""

VENDORS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}
