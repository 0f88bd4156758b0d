"""The figures of ``training.caption.figures`` as text, from what is stored."""

from collections.abc import Iterator

from training.caption.marks import MARKS, mark_counts
from training.caption.naming import AGREEMENT, NOUNS, SUPPORT
from training.evaluation.spec import Figures

_SCORES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr-D", "ROUGE-L")
_ROOM = 62
"""Width of a row's name in a terminal."""


def describe(figures: Figures) -> str:
    """The figures as text for a terminal."""
    lines = [
        f"{figures['pictures']} pictures with {figures['references']:.3g} references each; beam "
        f"{figures['width']} was best on the validation split",
        f"{'':{_ROOM}}" + "".join(f"{name:>8}" for name in _SCORES),
    ]
    lines += [
        f"{name:{_ROOM}}" + "".join(f"{value:>8}" for value in _values(scores))
        for name, scores in _score_rows(figures)
    ]
    lines += [f"{name}: {_diversity_text(row)}" for name, row in _diversity_rows(figures)]
    lines.append(f"{'noun':>12} {'shown':>7} {'named':>7} {'precision':>10} {'recall':>8}")
    for noun, row in _noun_rows(figures):
        lines.append(
            f"{noun:>12} {row['shown']:>7} {row['named']:>7} {_share(row['precision']):>10} "
            f"{_share(row['recall']):>8}"
        )
    lines.append(_named_rightly(figures))
    lines.append(f"judged by eye: {mark_counts(figures['judgement'])}")
    return "\n".join(lines)


def card_section(figures: Figures) -> str:
    """Markdown of the test split's figures, for the model card."""
    parts = [
        f"Captions of {figures['pictures']:,} pictures with {figures['references']:.3g} references "
        "each, decoded freely in PyTorch, float32. The length penalty of each beam width was "
        "chosen on the validation split by CIDEr-D, and so was the width of all that follows the "
        f"first table: {figures['width']}. The document frequencies of CIDEr-D are those of the "
        "references of the pictures that are scored. A score falls with the number of references, "
        "so people and captions are compared on the same ones, every reference but one, in turn.",
        _score_table(figures),
        *(f"{name}: {_diversity_text(row)}" for name, row in _diversity_rows(figures)),
        _noun_text(figures),
        _noun_table(figures),
        _judgement_text(figures),
    ]
    return "\n\n".join(part for part in parts if part)


def _score_rows(figures: Figures) -> Iterator[tuple[str, Figures]]:
    """What is scored, from the captions to floors and people."""
    for width, row in figures["widths"].items():
        yield f"beam {width}, length penalty {row['length_penalty']:g}", row
    floors, people = figures["floors"], figures["people"]
    for row in floors["constant"]:
        yield f'always "{row["caption"]}"', row
    yield "a training caption drawn by lot", floors["random"]
    nearest = floors["nearest"]
    yield f"typical caption of the {nearest['neighbours']} nearest training pictures", nearest
    if people:
        count = f"{people['references']:.3g}"
        shown = figures["width"]
        yield f"beam {shown}, {count} references", figures["widths"][str(shown)]["held_out"]
        yield f"a person, {count} references", people


def _values(scores: Figures) -> list[str]:
    """Scores in the order of ``_SCORES``; BLEU in percent, as it is published."""
    bleu = [f"{100 * value:.1f}" for value in scores["bleu"]]
    return [*bleu, f"{scores['cider_d']:.3f}", f"{scores['rouge_l']:.3f}"]


def _score_table(figures: Figures) -> str:
    lines = [f"| captions | {' | '.join(_SCORES)} |", "|---" * (1 + len(_SCORES)) + "|"]
    for name, scores in _score_rows(figures):
        lines.append(f"| {name} | {' | '.join(_values(scores))} |")
    return "\n".join(lines)


def _diversity_rows(figures: Figures) -> Iterator[tuple[str, Figures]]:
    yield f"Beam {figures['width']}", figures["widths"][str(figures["width"])]["diversity"]
    if figures["people"]:
        yield "One person", figures["people"]["diversity"]


def _diversity_text(row: Figures) -> str:
    most = row["most_frequent"]
    return (
        f"{row['distinct']} of {row['captions']} captions are distinct, {row['new']:.1%} are no "
        f"training caption word for word, {row['vocabulary']} different words, "
        f"{row['words']:.1f} words a caption; most frequent ({most['count']} of them): "
        f'"{most["caption"]}"'
    )


def _noun_rows(figures: Figures) -> Iterator[tuple[str, Figures]]:
    """Nouns by falling number of pictures, then all of them."""
    nouns = figures["naming"]["nouns"].items()
    yield from sorted(nouns, key=lambda entry: -entry[1]["shown"])
    yield "all", figures["naming"]["all"]


def _named_rightly(figures: Figures) -> str:
    rows = list(figures["naming"]["nouns"].values())
    often = sum((row["precision"] or 0.0) > 0.5 for row in rows)
    return f"{often} of {len(rows)} nouns are right more often than not where they are named"


def _noun_text(figures: Figures) -> str:
    several = {noun: forms[1:] for noun, forms in NOUNS.items() if len(forms) > 1}
    counted = [
        f"{noun} ({', '.join(several[noun])})"
        for noun in figures["naming"]["nouns"]
        if noun in several
    ]
    return (
        f"Nouns that {AGREEMENT} references or more use of {SUPPORT} pictures or more. Precision: "
        "the share of captions with the noun whose picture shows it by that rule; in brackets, "
        "of which any reference uses it. Recall: the share of pictures that show it whose caption "
        f"uses it. People: the first reference against the others. {_named_rightly(figures)}. "
        f"Counted as the noun: {', '.join(counted) or 'itself alone'}."
    )


def _noun_table(figures: Figures) -> str:
    lines = [
        "| noun | pictures | captions | precision | recall | people's precision | recall |",
        "|---|---|---|---|---|---|---|",
    ]
    people = figures["people"]["naming"] if figures["people"] else {"nouns": {}, "all": {}}
    for noun, row in _noun_rows(figures):
        other = people["all"] if noun == "all" else people["nouns"].get(noun, {})
        lines.append(
            f"| {noun} | {row['shown']} | {row['named']} | {_precision(row)} | "
            f"{_share(row['recall'])} | {_precision(other)} | {_share(other.get('recall'))} |"
        )
    return "\n".join(lines)


def _precision(row: Figures) -> str:
    if row.get("precision") is None:
        return "-"
    return f"{_share(row['precision'])} ({_share(row['precision_any'])})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _judgement_text(figures: Figures) -> str:
    counts = figures["judgement"]
    if not any(counts[mark] for mark in MARKS):
        return ""
    judge = f" by {counts['judge']}" if counts["judge"] else ""
    return (
        f"Captions of pictures drawn by lot, judged by eye{judge}: {mark_counts(counts)}. Right: "
        "all that the caption says is so; nearly right: the main thing is, a detail is not; wrong: "
        "the main thing is not."
    )
