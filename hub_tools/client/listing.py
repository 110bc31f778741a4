"""Lists of models as the Hub sends them, one request a page.

The client's own record of a model parses what stands on cards, fails on some of it, and leaves some of it out (who
verified an entry, which pull request it is in). Here nothing is parsed.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from hub_tools.annotation.plans import ID
from synbench.errors import ArgumentError

from .asking import TIMEOUT, Asker, limited
from .failures import OddAnswerError, RequestError, classify
from .pacing import StopError


def list_models(hub: Any, expand: Sequence[str], **query: Any) -> Iterator[dict[str, Any]]:
    """List models, in the order and with the fields that are asked for.

    Args:
        hub: the client, for its endpoint and token.
        expand: fields, by the names of the Hub's API.
        query: as the API takes them, such as ``author="google", sort="lastModified"``; ``None`` is left out.

    Raises:
        RequestError: the Hub cannot be reached, or refuses.
    """
    from huggingface_hub.utils import build_hf_headers, paginate

    asked = {key: value for key, value in query.items() if value is not None}
    headers = build_hf_headers(token=hub.token)
    url = f"{hub.api.endpoint}/api/models"
    items = iter(paginate(url, params={**asked, "expand": list(expand)}, headers=headers, timeout=TIMEOUT))
    while True:
        try:
            # The client repeats a page that fails; the wait between is ours to limit.
            with limited(hub.pace):
                item = next(items)
        except StopIteration:
            return
        except StopError:
            raise
        except Exception as error:
            failure = classify(error)
            raise RequestError(f"cannot list models: {failure.reason}", failure) from error
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            yield item


def get_model(hub: Any, repo_id: str, expand: Sequence[str]) -> dict[str, Any]:
    """Return one model with the fields that are asked for, in one request.

    Raises:
        ArgumentError: this is no name of a model on the Hub.
        RequestError: there is no such model, the Hub cannot be reached, or it refuses.
    """
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    if not ID.fullmatch(repo_id):
        raise ArgumentError(f"expected the id of a model on the Hub, such as 'google/vit-base', got {repo_id!r}.")
    url = f"{hub.api.endpoint}/api/models/{repo_id}"
    headers = build_hf_headers(token=hub.token)

    def ask() -> dict[str, Any]:
        answer = get_session().get(url, params={"expand": list(expand)}, headers=headers, timeout=TIMEOUT)
        hf_raise_for_status(answer)
        found = answer.json()
        if not isinstance(found, dict) or not isinstance(found.get("id"), str):
            raise OddAnswerError(f"expected a model, got {type(found).__name__}")
        return found

    return Asker(hub.pace, lambda: None).read(f"read {repo_id!r}", ask)
