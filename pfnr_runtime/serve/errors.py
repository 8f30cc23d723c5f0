"""Requests that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RequestError(Exception):
    """A request that is refused.

    - status: the HTTP status code.
    - message: one line, naming the bad value.
    - value: the bad value.
    - allowed: what would have been accepted.
    - headers: extra headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        value: str | None = None,
        allowed: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.value, self.allowed = status, message, value, allowed
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {"error": self.message, "status": self.status}
        if self.value is not None:
            body["value"] = self.value[:200]
        if self.allowed is not None:
            body["allowed"] = self.allowed
        return body
