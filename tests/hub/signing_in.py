"""Signing in with the Hub (OpenID Connect, the code flow), and what the tokens that come of it are allowed.

The rights of a scope are those of the Hub's documentation. Tokens look like the Hub's: a prefix, and three parts with
dots and dashes, of which a careless eye takes the first for the whole.
"""

import base64
import html
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .faults import NotServedError
from .routing import Routes

if TYPE_CHECKING:
    from .server import Call, Hub

ROUTES = Routes()
SCOPES = (
    "openid",
    "profile",
    "email",
    "read-repos",
    "gated-repos",
    "contribute-repos",
    "write-repos",
    "manage-repos",
    "write-discussions",
    "inference-api",
    "jobs",
)
_WRITING = ("write-repos", "manage-repos")
READING = ("read-repos", *_WRITING)
"""Each of these shows the repositories that only their owner sees."""

_TALKING = ("write-discussions",)
# The first that fits a write decides; no scope: any token will do. What fits none is allowed to no token of an app.
_NEEDED: list[tuple[str, tuple[str, ...]]] = [
    (r"/oauth/.*|/api/validate-yaml\?.*|/api/.+/paths-info/.*", ()),
    (r"/api/.+/discussions/[0-9]+/merge\?.*", _WRITING),
    (r"/api/.+/discussions(/.*)?\?.*", _TALKING),
    (r"/api/.+/(preupload|commit)/(refs/pr/[0-9]+\?.*|[^?]*\?(.*&)?create_pr=(1|true)(&.*)?)", _TALKING),
    (r"/api/.+/(preupload|commit|tag)/.*", _WRITING),
    (r"/.+\.git/info/lfs/objects/batch\?.*|/_large/.*", (*_TALKING, *_WRITING)),
    (r"/api/repos/create\?.*", ("contribute-repos", "manage-repos")),
    (r"/api/repos/delete\?.*", ("manage-repos",)),
    (r"/api/jobs/.*", ("jobs",)),
]
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost):[0-9]+/login/callback")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in</title><link rel="icon" href="data:,"></head><body><main>
<h1>{app} asks for access to your account</h1>
<p>You are logged in as <strong>{visitor}</strong>. It asks for:</p>
<ul>{scopes}</ul>
<form method="post">
<button name="answer" value="yes">Authorize</button>
<button name="answer" value="no">Deny</button></form>
</main></body></html>
"""


@dataclass(frozen=True)
class App:
    """An application that people can sign in to, as a Space with ``hf_oauth`` is."""

    name: str
    client_id: str
    secret: str
    scopes: tuple[str, ...]

    def environment(self, hub: "Hub") -> dict[str, str]:
        """Return what a Space of that name finds in its environment, and Gradio reads.

        There is no ``SPACE_HOST``: with it, Gradio comes back by https only.
        """
        return {
            "SYSTEM": "spaces",
            "SPACE_ID": self.name,
            "OAUTH_CLIENT_ID": self.client_id,
            "OAUTH_CLIENT_SECRET": self.secret,
            "OAUTH_SCOPES": " ".join(self.scopes),
            "OPENID_PROVIDER_URL": hub.endpoint,
            "HF_ENDPOINT": hub.endpoint,
        }


@dataclass(frozen=True)
class Consent:
    """What somebody has agreed to, until the code of it is turned into a token."""

    app: App
    visitor: str
    redirect: str
    scopes: tuple[str, ...]
    nonce: str | None


@dataclass
class SigningIn:
    """The provider: applications, codes and tokens.

    ``issued`` are the access tokens, in order; ``asked_scopes`` are all that any application has asked for; ``seconds``
    is how long a token lasts.
    """

    hub: "Hub"
    seconds: int = 8 * 60 * 60
    apps: dict[str, App] = field(default_factory=dict)
    codes: dict[str, Consent] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)
    asked_scopes: set[str] = field(default_factory=set)
    ends: dict[str, float] = field(default_factory=dict)
    granted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _key: Any = None

    def register(self, name: str, scopes: tuple[str, ...] = ("openid", "profile")) -> App:
        """Make an application that may ask for these scopes."""
        made = App(name, f"client-{len(self.apps)}", secrets.token_urlsafe(24), tuple(scopes))
        self.apps[made.client_id] = made
        return made

    def issue(self, visitor: str, scopes: tuple[str, ...]) -> str:
        """Make a token of somebody's with these scopes."""
        token = "hf_oauth_" + ".".join(f"{secrets.token_urlsafe(size)}-{size}" for size in (12, 40, 24))
        known = next((user for user in self.hub.users.values() if user.name == visitor), None)
        self.hub.sign_up(visitor, token, known.organizations if known else ())
        self.issued.append(token)
        self.granted[token] = tuple(scopes)
        self.ends[token] = time.time() + self.seconds
        return token

    def revoke(self, token: str) -> None:
        """Let a token be worth nothing from now on."""
        self.ends[token] = 0

    def allows(self, token: str | None, *scopes: str) -> bool:
        """Tell whether a token has one of these scopes, or is no application's and so has them all."""
        return token not in self.granted or bool({*scopes} & {*self.granted[token]})

    def check(self, token: str | None, method: str, path: str, query: str) -> None:
        """Refuse a token that is over, or that is not for this."""
        if token is None or token not in self.granted:
            return
        if self.ends[token] <= time.time():
            raise NotServedError(401, "", "Invalid credentials in Authorization header")
        if method in ("GET", "HEAD"):
            return
        target = f"{path}?{query}"
        needed = next((scopes for pattern, scopes in _NEEDED if re.fullmatch(pattern, target)), None)
        if needed is None or (needed and not self.allows(token, *needed)):
            said = " or ".join(needed or ("a personal token",))
            raise NotServedError(403, "", f"Forbidden: this token lacks a scope, which is {said}")

    def key(self) -> Any:
        """Return the key that identities are signed with: new for each Hub, made when it is asked for."""
        # Beside Gradio's sign-in it is installed; who only reads and writes on the Hub needs it not.
        from joserfc.jwk import RSAKey

        self._key = self._key or RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        return self._key

    def identity(self, visitor: str) -> dict[str, Any]:
        """Return what is told of somebody."""
        return {
            "sub": f"user-{visitor}",
            "name": visitor.title(),
            "preferred_username": visitor,
            "profile": f"{self.hub.endpoint}/{visitor}",
            # No second request for a picture.
            "picture": "data:,",
            "website": "",
        }

    def signed(self, consent: Consent) -> str:
        """Return the identity of who agreed, signed for the application."""
        from joserfc import jwt

        now = int(time.time())
        claims = {
            **self.identity(consent.visitor),
            "iss": self.hub.endpoint,
            "aud": consent.app.client_id,
            "iat": now,
            "auth_time": now,
            "exp": now + self.seconds,
            **({"nonce": consent.nonce} if consent.nonce else {}),
        }
        return str(jwt.encode({"alg": "RS256", "kid": self.key().kid}, claims, self.key()))


@ROUTES.at("GET", r"/\.well-known/openid-configuration")
def configuration(call: "Call") -> Any:
    at = call.hub.endpoint
    return {
        "issuer": at,
        "authorization_endpoint": f"{at}/oauth/authorize",
        "token_endpoint": f"{at}/oauth/token",
        "userinfo_endpoint": f"{at}/oauth/userinfo",
        "jwks_uri": f"{at}/oauth/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


@ROUTES.at("GET", "/oauth/jwks")
def keys(call: "Call") -> Any:
    return {"keys": [call.hub.oauth.key().as_dict(private=False)]}


@ROUTES.at("GET POST", "/oauth/authorize")
def authorize(call: "Call") -> Any:
    """Ask whoever is logged in, and go back to the application with a code or a refusal."""
    asked, oauth = call.asked, call.hub.oauth
    app, redirect = oauth.apps.get(asked.get("client_id", "")), asked.get("redirect_uri", "")
    if app is None or not _LOOPBACK.fullmatch(redirect.partition("?")[0]):
        # Nobody is sent to an address that nobody vouches for.
        raise NotServedError(400, "", "Invalid client_id or redirect_uri")
    scopes = tuple(asked.get("scope", "").split())
    oauth.asked_scopes.update(scopes)
    if asked.get("response_type") != "code":
        raise _sent_back(redirect, asked, error="unsupported_response_type")
    if not {*scopes} <= {*app.scopes} & {*SCOPES}:
        raise _sent_back(redirect, asked, error="invalid_scope")
    visitor = call.hub.visitor
    if visitor is None:
        raise NotServedError(401, "", "Nobody is logged in here: set hub.visitor")
    if call.method == "GET":
        call.headers["Content-Type"] = "text/html; charset=utf-8"
        items = "".join(f"<li>{html.escape(scope)}</li>" for scope in scopes)
        return _PAGE.format(app=html.escape(app.name), visitor=html.escape(visitor), scopes=items).encode()
    if dict(parse_qsl(call.body.decode())).get("answer") != "yes":
        raise _sent_back(redirect, asked, error="access_denied", error_description="The user denied the request")
    code = secrets.token_urlsafe(24)
    oauth.codes[code] = Consent(app, visitor, redirect, scopes, asked.get("nonce"))
    raise _sent_back(redirect, asked, code=code)


@ROUTES.at("POST", "/oauth/token")
def exchange(call: "Call") -> Any:
    """Turn a code into a token, once, for the application that it was given to."""
    oauth, sent = call.hub.oauth, dict(parse_qsl(call.body.decode()))
    client, secret = sent.get("client_id", ""), sent.get("client_secret", "")
    if call.token and call.token.startswith("Basic "):
        client, _, secret = base64.b64decode(call.token.removeprefix("Basic ")).decode().partition(":")
    app = oauth.apps.get(client)
    if app is None or not secrets.compare_digest(app.secret, secret):
        raise _refused(401, "invalid_client")
    if sent.get("grant_type") != "authorization_code":
        raise _refused(400, "unsupported_grant_type")
    # Gone, whatever comes of it.
    consent = oauth.codes.pop(sent.get("code", ""), None)
    if consent is None or consent.app is not app or sent.get("redirect_uri") != consent.redirect:
        raise _refused(400, "invalid_grant")
    told = {
        "access_token": oauth.issue(consent.visitor, consent.scopes),
        "token_type": "bearer",
        "expires_in": oauth.seconds,
        "scope": " ".join(consent.scopes),
    }
    return {**told, "id_token": oauth.signed(consent)} if "openid" in consent.scopes else told


@ROUTES.at("GET POST", "/oauth/userinfo")
def userinfo(call: "Call") -> Any:
    name = call.name
    if not call.hub.oauth.allows(call.token, "openid"):
        raise NotServedError(403, "", "Forbidden: this token lacks a scope, which is openid")
    return call.hub.oauth.identity(name)


def _sent_back(redirect: str, asked: dict[str, str], **told: str) -> NotServedError:
    told |= {"state": asked["state"]} if "state" in asked else {}
    join = "&" if urlsplit(redirect).query else "?"
    return NotServedError(303, headers={"Location": f"{redirect}{join}{urlencode(told)}"})


def _refused(status: int, error: str) -> NotServedError:
    return NotServedError(status, "", error, body={"error": error})
