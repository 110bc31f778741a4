"""What the page says, as HTML: every word that comes from outside is escaped here."""

import math
from html import escape

from synbench.comparison import Comparison, headings, names, rows
from synbench.report import Report

from .admission import Admitted
from .board import size_told
from .hardware import Hardware
from .running import News
from .work import Frame, Plan

_FAR = 0.005


def plan(admitted: Admitted, hardware: Hardware, exact: Plan | None = None) -> str:
    """Return what will be done, in a line; exactly, once the model is loaded."""
    asked = admitted.asked
    told = [f"<b>{escape(asked.model)}</b>" + (f" @ {asked.commit[:7]}" if asked.commit else "")]
    if admitted.parameters:
        told.append(f"{size_told(admitted.parameters)} parameters")
    if exact is not None:
        told.append(f"images {'×'.join(map(str, exact.image_shape))}")
        told.append(f"{escape(exact.pooling)}, {exact.dimension} dimensions")
        told.append(f"{escape(exact.dtype)} on {_device(exact.device)}")
    else:
        if admitted.side:
            told.append(f"images 3×{admitted.side}×{admitted.side}")
        told.append("its own pooled output, where it has one")
        told.append(f"float32 on {escape(hardware.told)}")
    told.append(f"{asked.images:,} images" + (", and again by its untrained twin" if asked.twin else ""))
    return f'<p class="plan">{" · ".join(told)}</p>'


def progress(news: News, hardware: Hardware, exact: Plan | None, seconds: float | None) -> str:
    """Return the plan with how far it is.

    Args:
        news: where the run stands.
        hardware: of this machine.
        exact: the plan, where it is known.
        seconds: that are left, where that can be told.
    """
    frame, reckoned = news.frame, news.admitted.seconds
    if news.position:
        stage = f"You are number {news.position} of {max(news.length, news.position)} in line."
        bar = '<progress aria-label="Waiting"></progress>'
    elif frame is None or not frame.total:
        fetched = f" Its weights are {news.admitted.fetched / 1e6:,.0f} MB." if news.admitted.fetched else ""
        stage = f"Loading the model.{fetched} About {duration(reckoned)} in all."
        bar = '<progress aria-label="Loading the model"></progress>'
    else:
        what = "the untrained twin" if frame.twin else "the encoder"
        stage = f"Embedding by {what}."
        left = "" if seconds is None else f" · about {duration(seconds)} left"
        done = f"{frame.images:,} of {frame.total:,} images{left}"
        bar = (
            f'<progress aria-label="Images embedded" max="{frame.total}" value="{frame.images}"></progress>'
            f'<span class="far">{done}</span>'
        )
    # Only the stage is read out: the bar moves several times a second.
    return f'{plan(news.admitted, hardware, exact)}<p role="status">{stage}</p><p class="bar">{bar}</p>'


def finished(news: News, hardware: Hardware, exact: Plan | None) -> str:
    """Return the plan, and that it is done."""
    told = "Scored before: this is the kept result." if news.before else f"Done in {duration(news.seconds)}."
    return f'{plan(news.admitted, hardware, exact)}<p role="status">{told}</p>'


def problem(text: str) -> str:
    """Return what went wrong; the text has the next step."""
    return f'<p role="alert" class="problem">{_sentence(text)}</p>'


def note(text: str) -> str:
    """Return a sentence about the state of things."""
    return f'<p role="status">{_sentence(text)}</p>'


def headline(report: Report, *, partial: bool = False) -> str:
    """Return the score with its interval, κ, and what it means."""
    if report.synbench_score is None:
        number, spread = "–", ""
    elif report.interval is None:
        number, spread = f"{report.synbench_score:.2f}", "too few images for an interval"
    else:
        low, high = report.interval
        places = decimals((high - low) / 2)
        number = f"{report.synbench_score:.{places}f}"
        spread = f"95 % interval {low:.{places}f} to {high:.{places}f}"
    kept = ""
    if report.kappa:
        row = report.epsilons.index(0.0) if 0.0 in report.epsilons else 0
        kept = f'<span class="kappa">κ {report.kappa[row]:.3f}: share of the discriminability that is kept</span>'
    state = f'<span class="sofar">so far, from {report.images:,} images</span>' if partial else ""
    told = "".join(f"<li>{escape(warning, quote=False)}</li>" for warning in report.warnings)
    notes = f"<ul class='notes'>{told}</ul>" if told else ""
    return (
        f'<div class="headline"><h2>SynBench-Score <strong>{number}</strong></h2>'
        f'<span class="spread">{spread}</span>{kept}{state}</div>'
        f'<p class="meaning">{escape(report.meaning, quote=False)}</p>{notes}'
    )


def comparison(found: Comparison) -> str:
    """Return the ranking and the differences as tables."""
    ranked = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows(found))
    called = names(found)
    pairs = "".join(
        f"<tr><td>{escape(called[pair.first])} − {escape(called[pair.second])}</td><td>{pair.difference:.4f}</td>"
        f"<td>[{pair.interval[0]:.4f}, {pair.interval[1]:.4f}]</td><td>{_p(pair.p_adjusted)}</td>"
        f"<td>{'yes' if pair.separated else 'no'}</td><td>{'yes' if pair.paired else 'no'}</td></tr>"
        for pair in found.differences
    )
    return (
        _table(
            "Best first. Encoders that share a letter are not told apart.",
            headings(found),
            ranked,
        )
        + _table(
            f"Differences; told apart at the {found.level:.0%} level, all pairs considered (Holm). Of paired ones the "
            f"error that they share is taken out.",
            ("pair", "difference", "95 % interval", "p, adjusted", "told apart", "paired"),
            pairs,
        )
        + "".join(f"<p>{escape(warning, quote=False)}</p>" for warning in found.warnings)
    )


def duration(seconds: float) -> str:
    """Return a length of time in words.

    >>> duration(0.2), duration(42.3), duration(300)
    ('1 s', '42 s', '5 min')
    """
    return f"{max(math.ceil(seconds - 0.5), 1)} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def decimals(half: float) -> int:
    """Return the decimals that give half an interval two digits, at least 3 and at most 4.

    >>> decimals(0.013), decimals(0.0004)
    (3, 4)
    """
    return 3 if half >= _FAR else 4


def left(frame: Frame | None, seconds: float, twin: bool) -> float | None:
    """Return the seconds that are left, by the pace so far; ``None`` before there is one.

    Args:
        frame: how far it is.
        seconds: since the first image.
        twin: whether the untrained twin comes after the encoder.
    """
    if frame is None or not frame.images or seconds < 1:
        return None
    done = frame.images + (frame.total if frame.twin else 0)
    whole = frame.total * (2 if twin else 1)
    return seconds * (whole - done) / done


def _sentence(text: str) -> str:
    return escape(text[:1].upper() + text[1:], quote=False)


def _device(device: str) -> str:
    return "the CPU" if device == "cpu" else escape(device)


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _table(caption: str, heads: tuple[str, ...], body: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"><table>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )
