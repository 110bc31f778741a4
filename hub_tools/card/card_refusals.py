"""Why a card is left as it is: a sentence for people, and a word to be counted."""

from enum import StrEnum

from synbench.errors import CardError


class Reason(StrEnum):
    """Why a card is left as it is: short, to be counted."""

    TOO_LARGE = "too large"
    NOT_UTF8 = "not UTF-8"
    DISPUTED_START = "start that readers take in different ways"
    UNREAD_BLOCK = "metadata that the Hub does not read"
    NOT_YAML = "no YAML that can be read"
    NOT_METADATA = "body that starts with a rule"
    DOCUMENT_MARKERS = "document markers"
    MERGE_KEYS = "merge keys"
    CLIENT = "refused by the Hub's client"
    FLOW_STYLE = "flow style"
    DUPLICATE_KEYS = "duplicate keys"
    ANCHORS = "anchors, aliases or tags on the way"
    NOT_ONE_MODEL = "not one model with a list of results"
    SEVERAL_OF_OURS = "several results of ours"
    COMMENT_INSIDE = "comment inside our result"
    NOT_PROVED = "no edit that could be proved"


def refusal(reason: Reason, problem: str, remedy: str = "Edit the card by hand") -> CardError:
    """Return an error that says what is wrong with a card, and holds the reason for ``reason_of``."""
    error = CardError(f"{problem}. {remedy}, or leave it as it is and publish in .eval_results alone.")
    vars(error)["reason"] = reason
    return error


def reason_of(error: CardError) -> Reason | None:
    """Return why a card was refused; ``None`` if the error is about something else."""
    found: Reason | None = vars(error).get("reason")
    return found
