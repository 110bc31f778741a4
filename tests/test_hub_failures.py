"""What errors of the Hub mean: made by the real client from answers, and read back."""

import importlib
import json
import re
from email.utils import formatdate

import pytest
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import hf_raise_for_status

from hub_tools.client.failures import Failure, RequestError, classify, redact, waiting_time
from synbench.errors import ArgumentError, CardError

URL = "https://huggingface.co/api/models/org/model/commit/main"

# httpx in one version of the client, httpx2 in the next.
transport = importlib.import_module(
    next(base.__module__.partition(".")[0] for base in HfHubHTTPError.__mro__ if base.__module__.startswith("httpx"))
)


def answered(status, body=None, *, url=URL, method="POST", **headers):
    """Return the error that the client raises on an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = transport.Request(method, url, headers={"Authorization": "Bearer hf_secret"})
    content = json.dumps(body or {}).encode()
    response = transport.Response(
        status, request=request, content=content, headers={"Content-Type": "application/json", **named}
    )
    with pytest.raises(OSError) as raised:  # noqa: PT011 - whatever it is
        hf_raise_for_status(response)
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (answered(400, {"error": "bad"}), "permanent", r"the Hub refuses the request \(400\) \(bad\)\."),
        (answered(401, X_Error_Code="RepoNotFound"), "permanent", "no such repository, or it is not for us to see"),
        (answered(401, X_Error_Code="GatedRepo"), "permanent", "only for those whom the owner lets in"),
        (answered(403, X_Error_Code="GatedRepo"), "permanent", "only for those whom the owner lets in"),
        (answered(403, X_Error_Message="Access to this resource is disabled."), "permanent", "has disabled this repo"),
        (answered(403, {"error": "no"}), "permanent", r"does not allow it \(403\) \(no\)"),
        (answered(403, {"error": "Discussions are disabled for this repo"}), "permanent", "switched discussions and"),
        (answered(404, {"error": "Pull requests are turned off here"}), "permanent", "switched discussions and"),
        (answered(404, X_Error_Code="RepoNotFound"), "permanent", "no such repository"),
        (answered(404, X_Error_Code="RevisionNotFound"), "permanent", "no such branch or commit"),
        (
            answered(401, X_Error_Message="Invalid credentials in Authorization header"),
            "later",
            "Log in again: hf auth",
        ),
        (answered(408), "unknown", r"gave up waiting \(408\)"),
        (answered(409), "moved", r"has moved since it was read \(409\)"),
        (answered(412), "moved", r"has moved since it was read \(412\)"),
        (answered(429), "later", r"limits how often it is asked \(429\)"),
        (answered(500), "unknown", r"has a fault \(500\)"),
        (answered(503), "unknown", r"has a fault \(503\)"),
        (answered(504), "unknown", r"has a fault \(504\)"),
        (transport.ConnectError("refused"), "later", "cannot be reached: refused"),
        (
            transport.RemoteProtocolError("Server disconnected"),
            "unknown",
            "broke before the answer: Server disconnected",
        ),
        (transport.ReadTimeout(""), "unknown", "broke before the answer"),
        (json.JSONDecodeError("no", "<html>", 0), "unknown", "something else answers in the Hub's place"),
        (KeyError("commitUrl"), "unknown", "something else answers in the Hub's place"),
        (OfflineModeIsEnabled("offline"), "later", "Unset it"),
        (LocalTokenNotFoundError("none"), "later", "Log in by hf auth login"),
        (HFValidationError("Repo id must be …"), "permanent", r"Repo id must be …\.$"),
        (CardError("two results of ours."), "permanent", "two results of ours"),
        (ArgumentError("bad repo."), "permanent", "bad repo"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_each_error_means_what_must_be_done(error, kind, reason):
    failure = classify(error)
    assert failure.kind == kind
    assert re.search(reason, failure.reason)
    assert "hf_secret" not in failure.reason


def test_only_refusals_of_no_cause_in_the_repository_count_for_the_breaker():
    refused = [
        answered(429),
        answered(403),
        answered(401, X_Error_Message="Invalid credentials in Authorization header"),
        answered(403, X_Error_Code="GatedRepo"),
        answered(403, {"error": "Discussions are disabled"}),
        answered(404, X_Error_Code="RepoNotFound"),
        answered(503),
    ]
    assert [classify(error).refused for error in refused] == [True, True, True, False, False, False, False]


def test_a_server_may_go_on_after_a_gateway_gave_up_or_the_connection_broke_but_not_on_what_has_no_effect():
    preupload = URL.replace("commit", "preupload")
    assert [classify(answered(status)).ended for status in (500, 503, 502, 504)] == [True, True, False, False]
    assert classify(answered(504, url=preupload)).ended
    assert classify(answered(504, method="GET")).ended
    for url, ended in ((URL, False), (preupload, True), ("https://huggingface.co/api/validate-yaml", True)):
        lost = transport.ReadError("", request=transport.Request("POST", url))
        assert classify(lost).ended is ended
    assert not classify(TimeoutError()).ended


def test_our_own_errors_keep_what_they_mean():
    failure = Failure("moved", "moved.")
    assert classify(RequestError("cannot do it: moved.", failure)) is failure


def date(seconds):
    return formatdate(seconds, usegmt=True)


NOW = 1_900_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": " 3.5 "}, 3.5),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        # A date counts against the server's own clock, whatever ours says: 40 s, and not years.
        (
            {"Retry-After": date(NOW + 40), "Date": date(NOW)},
            40.0,
        ),
        ({"Retry-After": date(40), "Date": date(0)}, 40.0),
        ({"Retry-After": date(NOW - 40), "Date": date(NOW)}, 0.0),
        ({"Retry-After": date(NOW)}, None),
        ({"RateLimit": '"api";r=0;t=7'}, 7.0),
        ({"RateLimit": '"api"; r = 0; t = 7', "Retry-After": "30"}, 30.0),
        ({"RateLimit": '"api";r=12;t=7'}, None),
        ({"RateLimit": "nonsense"}, None),
    ],
)
def test_the_wait_that_is_asked_for(headers, seconds):
    assert waiting_time(headers) == seconds


def test_the_wait_of_an_answer_is_kept():
    assert classify(answered(429, Retry_After="12")).wait == 12
    assert classify(answered(503, Retry_After="12")).wait == 12


@pytest.mark.parametrize(
    "text",
    [
        "token hf_abcDEF123 is bad",
        "https://user:hf_abcDEF123@huggingface.co/org/model",
        "Authorization: Bearer abcDEF123",
        "authorization: bearer  abcDEF123",
        "api_org_abcDEF123",
        "my-own-abcDEF123",
    ],
)
def test_no_token_of_any_kind_stays_in_a_text(text):
    assert "abcDEF123" not in redact(text, "my-own-abcDEF123")


def test_texts_of_servers_stay_on_one_short_line_and_command_no_terminal():
    assert redact("a\nb\r\n\tc\x1b[2J\x07") == r"a b c\x1b[2J\x07"
    assert len(redact("x" * 10_000)) == 300
