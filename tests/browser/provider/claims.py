"""What the provider says about whom."""

import json
import os
from typing import Any

from oauth2_provider.oauth2_validators import OAuth2Validator


class Validator(OAuth2Validator):  # type: ignore[misc]
    """Tells of a person what PEOPLE says."""

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        claims: dict[str, Any] = people()[request.user.get_username()]
        return claims


def people() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(os.environ["PEOPLE"])
    return found
