"""A stand-in for Headscale: its own API v1, and the API v2 that comes with 0.30."""

from __future__ import annotations

import base64
import hashlib

from stand_in_tailscale import Answer, ApiServer, Request, json_answer

HEADSCALE_KEY = "hskey-api-example"
ALLOW_ALL = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'


def gateway_error(status: int, code: int, message: str) -> Answer:
    """Answer with an error as releases up to 0.29 do."""
    return json_answer({"code": code, "message": message, "details": []}, status)


def problem(status: int, title: str, detail: str) -> Answer:
    """Answer with an error as releases from 0.30 on do."""
    answer = json_answer({"title": title, "status": status, "detail": detail}, status)
    return answer._replace(headers={"Content-Type": "application/problem+json"})


class StandInHeadscale(ApiServer):
    """Headscale, before 0.30 or as it will be; what it knows can be changed while it runs."""

    def __init__(self, policy: str | None, *, v2: bool = False) -> None:
        super().__init__()
        self.policy = policy
        """``None`` is a database without a policy."""
        self.updated_at: str | None = "2026-11-29T10:00:00.123456789Z"
        """``None`` where the policy is in a file."""
        self.v2 = v2
        self.key = HEADSCALE_KEY

    def usual_answer(self, request: Request) -> Answer:
        """Answer as the release does."""
        if self.v2 and request.path == "/api/v2/oauth/token":
            return self._token(request)
        if not self._is_allowed(request):
            kind = {"Content-Type": "text/plain; charset=utf-8"}
            return Answer(401, b"Unauthorized", kind)
        if request.path == "/api/v1/policy":
            return self._v1()
        if self.v2 and request.path == "/api/v2/tailnet/-/acl":
            return self._v2(request)
        return self.error(404, 5, "Not Found")

    def error(self, status: int, code: int, message: str) -> Answer:
        """Make an error in the form of the release."""
        return (
            problem(status, message, message) if self.v2 else gateway_error(status, code, message)
        )

    def _is_allowed(self, request: Request) -> bool:
        kind, _, credential = (request.headers.get("Authorization") or "").partition(" ")
        if kind == "Basic" and "/api/v2/" in request.path:
            credential = base64.b64decode(credential).decode().removesuffix(":")
            return credential == self.key
        return kind == "Bearer" and credential == self.key

    def _token(self, request: Request) -> Answer:
        if request.form.get("client_secret") != self.key:
            return json_answer({"error": "invalid_client"}, 401)
        return json_answer({"access_token": self.key, "token_type": "Bearer", "expires_in": 3600})

    def _v1(self) -> Answer:
        if self.policy is None:
            return self.error(500, 2, "loading ACL from database: acl policy not found")
        return json_answer({"policy": self.policy, "updatedAt": self.updated_at})

    def _v2(self, request: Request) -> Answer:
        """Answer with the bytes as they are, labelled JSON unless HuJSON is asked for."""
        body = (ALLOW_ALL if self.policy is None else self.policy).encode()
        asked = "hujson" in (request.headers.get("Accept") or "")
        kind = "application/hujson" if asked else "application/json"
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        return Answer(200, body, {"Content-Type": kind, "ETag": etag})
