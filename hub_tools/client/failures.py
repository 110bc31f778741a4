"""What an error of the Hub or its client means: whether to give up, wait, read again, or look what was done.

    permanent   this repository will not take it: asking again changes nothing
    later       nothing was done, and it may work later
    moved       the branch has moved since it was read: read it again, make the change anew
    unknown     the answer is lost: the work may have been done, or not

Texts of the server are kept short, on one line, and never with a token in them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from synbench.errors import ArgumentError, HubError

Kind = Literal["permanent", "later", "moved", "unknown"]

_LONGEST_TEXT = 300
# Those of apps have dots and dashes.
_TOKEN = re.compile(r"(?:hf|api_org)_[A-Za-z0-9_]+(?:[.-]+[A-Za-z0-9_]+)*")
_BEARER = re.compile(r"(?i)\bbearer\s+\S+")
_RATE_LIMIT = re.compile(r";\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)")
_WITHOUT_EFFECT = re.compile(r"/api/validate-yaml$|/preupload/")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_DISCUSSIONS_OFF = re.compile(
    r"(?i)(discussion|pull request|community)[\w\s]*\b(disabled|off|not enabled|not allowed|unavailable)\b"
    r"|\bdisabled\b[\w\s]*(discussion|pull request|community)"
)
_BAD_TOKEN = re.compile(r"(?i)invalid (credentials|username|user token)|token.{0,40}\b(invalid|expired)")


@dataclass(frozen=True)
class Failure:
    """What an error means.

    Args:
        kind: see the module.
        reason: what happened and what to do, without a token; starts small, ends with a full stop.
        wait: seconds that the server asks to wait; ``None`` if it does not.
        status: HTTP status; ``None`` without an answer.
        refused: whether it was 403 or 429 for no cause of this one repository: see ``Pace``.
        ended: whether the server has certainly stopped working on the request.
        again: whether the same request may work in minutes, with nothing changed by a person.
    """

    kind: Kind
    reason: str
    wait: float | None = None
    status: int | None = None
    refused: bool = False
    ended: bool = True
    again: bool = True


class RequestError(HubError):
    """A request failed; ``failure`` tells what that means."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


class OddAnswerError(Exception):
    """An answer that the Hub itself would not give."""


def classify(error: BaseException) -> Failure:
    """Tell what an error means, be it of the client, of the network, or one of ours.

    >>> classify(TimeoutError()).kind
    'unknown'
    """
    known = getattr(error, "failure", None)
    if isinstance(known, Failure):
        return known
    if isinstance(error, HubError | ArgumentError):
        return Failure("permanent", str(error))
    response = getattr(error, "response", None)
    if response is not None:
        return _answered(error, response)
    return _unanswered(error)


def waiting_time(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait, or ``None``.

    ``Retry-After`` counts in seconds or names a date, which is read against the ``Date`` of the same answer: our own
    clock may be wrong. ``RateLimit`` counts where nothing remains. The longer one holds.

    >>> waiting_time({"Retry-After": "3", "RateLimit": '"api";r=0;t=7'})
    7.0
    >>> waiting_time({"Retry-After": "Sat, 01 Aug 2026 10:00:30 GMT", "Date": "Sat, 01 Aug 2026 10:00:00 GMT"})
    30.0
    """
    given = {name.lower(): value.strip() for name, value in headers.items()}
    found = [_after(given.get("retry-after", ""), given.get("date", ""))]
    if (limit := _RATE_LIMIT.search(given.get("ratelimit", ""))) and int(limit[1]) == 0:
        found.append(float(limit[2]))
    return max((seconds for seconds in found if seconds is not None), default=None)


def redact(text: str, *secrets: str | None) -> str:
    r"""Return a text of a server on one line, cut to a few hundred characters, without tokens.

    >>> redact("bad token hf_abc123\n\x1b[31m")
    'bad token hf_*** \\x1b[31m'
    """
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = _BEARER.sub("Bearer ***", _TOKEN.sub(lambda found: found[0].partition("_")[0] + "_***", text))
    text = " ".join(text.split(None))
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _after(value: str, date: str) -> float | None:
    if _SECONDS.fullmatch(value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    try:
        return max((parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _answered(error: BaseException, response: Any) -> Failure:
    status = int(response.status_code)
    said = redact(str(getattr(error, "server_message", None) or ""))
    told = f" ({said.rstrip('.')})" if said else ""
    names = _names(error)
    wait = waiting_time(response.headers)
    if status == 429:
        return Failure("later", f"the Hub limits how often it is asked (429){told}.", wait, status, refused=True)
    if "GatedRepoError" in names:
        return Failure("permanent", f"its files are only for those whom the owner lets in{told}.", None, status)
    if "DisabledRepoError" in names or ("is disabled" in said and "resource" in said):
        return Failure("permanent", f"the Hub has disabled this repository{told}.", None, status)
    if status in (400, 403, 404, 405, 410) and _DISCUSSIONS_OFF.search(said):
        return Failure("permanent", f"its owner has switched discussions and pull requests off{told}.", None, status)
    if status in (408, 425):
        return Failure("unknown", f"the Hub gave up waiting ({status}){told}.", wait, status)
    if status == 401 and (_BAD_TOKEN.search(said) or _BAD_TOKEN.search(str(error))):
        reason = f"the Hub does not know the token (401){told}. Log in again: hf auth login."
        return Failure("later", reason, None, status, refused=True, again=False)
    if "RevisionNotFoundError" in names:
        return Failure("permanent", f"there is no such branch or commit{told}.", None, status)
    if status in (401, 404):
        reason = f"there is no such repository, or it is not for us to see ({status}){told}."
        return Failure("permanent", reason, None, status)
    if status == 403:
        return Failure("permanent", f"the Hub does not allow it (403){told}.", None, status, refused=True)
    if status in (409, 412):
        return Failure("moved", f"the branch has moved since it was read ({status}){told}.", wait, status)
    if status >= 500:
        # A gateway that gives up says nothing of what goes on behind it.
        ended = status not in (502, 504) or not _writes(error)
        return Failure("unknown", f"the Hub has a fault ({status}){told}.", wait, status, ended=ended)
    return Failure("permanent", f"the Hub refuses the request ({status}){told}.", None, status)


def _unanswered(error: BaseException) -> Failure:
    names, said = _names(error), redact(str(error))
    told = f": {said.rstrip('.')}" if said else ""
    if "OfflineModeIsEnabled" in names:
        return Failure("later", "the Hub is not asked while HF_HUB_OFFLINE is set. Unset it.", again=False)
    if "LocalTokenNotFoundError" in names:
        return Failure("later", "not logged in to the Hub. Log in by hf auth login, or set HF_TOKEN.", again=False)
    if names & {"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "PoolTimeout"}:
        return Failure("later", f"the Hub cannot be reached{told}.")
    if names & {"HTTPError", "TimeoutError", "ConnectionError"}:
        return Failure("unknown", f"the connection broke before the answer{told}.", ended=not _writes(error))
    if names & {"OddAnswerError", "JSONDecodeError", "KeyError", "AttributeError", "TypeError"}:
        return Failure("unknown", f"something else answers in the Hub's place{told}.")
    if said.startswith("Invalid metadata in README.md"):
        reason = (
            f"the Hub does not take the card's metadata, as its owner wrote it{told}. Leave it: --only eval-results."
        )
        return Failure("permanent", reason)
    return Failure("permanent", f"{said or type(error).__name__}.".replace("..", "."))


def _writes(error: BaseException) -> bool:
    """Tell whether the request may have changed something; one that is not known may."""
    try:
        response = getattr(error, "response", None)
        request: Any = getattr(error, "request", None) if response is None else response.request
    except RuntimeError:
        request = None
    if request is None:
        return True
    return request.method not in ("GET", "HEAD") and not _WITHOUT_EFFECT.search(str(request.url))


def _names(error: BaseException) -> set[str]:
    # By name: the client's transport is httpx in one version and httpx2 in the next.
    return {base.__name__ for base in type(error).__mro__}
