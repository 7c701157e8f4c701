"""What the model checks are: codes, meanings, what to do; the page docs/checks.md is written from here. What they compute is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CheckKind:
    """A check as its documentation has it."""

    code: str
    title: str
    meaning: str
    found_when: str
    not_applicable_when: str
    what_to_do: str

    @property
    def name(self) -> str:
        """The name of its asset check, such as `LL101_overfit`."""
        return f"{self.code}_{self.title.lower().replace(' ', '_')}"

    @property
    def anchor(self) -> str:
        """Its place on the documentation page, such as `docs/checks.md#ll101-overfit`."""
        return f"docs/checks.md#{self.code.lower()}-{self.title.lower().replace(' ', '-')}"

    @property
    def text(self) -> str:
        """What its documentation says of it, as Markdown."""
        always = self.not_applicable_when == "never"
        lines = [
            self.meaning,
            "",
            f"* **Found** when {self.found_when}.",
            "* It always applies." if always else f"* **Not applicable** when {self.not_applicable_when}.",
            f"* **What to do.** {self.what_to_do}",
        ]
        return "\n".join(lines)


def _listed(*kinds: CheckKind) -> dict[str, CheckKind]:
    return {kind.code: kind for kind in kinds}


KINDS: Mapping[str, CheckKind] = _listed(
    CheckKind(
        "LL101",
        "Overfit",
        "The model knows its training rows much better than rows that it hasn't seen.",
        "the advantage over a constant on the test rows is less than half of that on the training rows, chance set aside (one-sided, 5%)",
        "the model is no better than a constant on its own training rows, or there is no interval on the test rows",
        "Take fewer or larger leaves, more regularisation, fewer features or more rows. If only the newest weeks are worse, the world "
        "changed: see how it does over time.",
    ),
    CheckKind(
        "LL102",
        "Overlap in time",
        "The model was trained on something that nobody knew when the test window began, so its score is too good.",
        "a training row is of the test window, or its label was known only after the window began",
        "never",
        "Set `split.gap` to at least the time that a label takes to be known.",
    ),
    CheckKind(
        "LL103",
        "Overlap of entities",
        "Test rows are of entities (all keys together) that were trained on, so the model may remember them instead of knowing anything.",
        "keys that are unique among the training rows come again in the test rows; or, where entities repeat by design, the primary metric is "
        "better on known entities than on new ones (one-sided, 5%)",
        "entities repeat by design and too few in the test window are new",
        "For duplicates, mend the spine. Otherwise expect the score of new entities for new entities, and leave out features that only name one.",
    ),
    CheckKind(
        "LL104",
        "Leakage by a feature",
        "One feature tells the label by itself, which most often means that it was written after the fact.",
        "one feature alone reaches a ROC AUC of 0.95 (of several classes: each against the rest, on average), or an R² of 0.9, on the test rows",
        "there is no feature that can be scored, no label that one could tell, or a class with fewer than 10 test rows",
        "Look at how the feature comes to be, and when: give its view a `delay` or `known_at`, or leave it out.",
    ),
    CheckKind(
        "LL105",
        "Worse than baseline",
        "Something much simpler is as good.",
        "it isn't shown that the model is better than a constant, or it is shown that a linear model on the same features is better (one-sided, "
        "5% each)",
        "never",
        "Start from the linear pipeline; look for features that say something; look for a mistake in the label.",
    ),
    CheckKind(
        "LL106",
        "Worse than champion",
        "The released model is better on the very same rows, which neither is known to be trained on.",
        "the paired difference of the primary metric is below zero (one-sided, 5%). The gate `champion` asks for more: that a loss of `max_drop` "
        "or more is ruled out",
        "there is no champion, or too few rows that it wasn't trained on",
        "Keep the champion. What changed since the last version stands in the report.",
    ),
    CheckKind(
        "LL107",
        "Weak slice",
        "Some rows that can be named are served worse than the rest.",
        "a slice errs 1.2 times as much as the rest or more, proposed by one half of the test rows and confirmed on the other "
        "(Holm's test over all that were proposed, 5% together)",
        "no column may be searched",
        "Some slices are just harder. Look whether they have enough training rows, a feature that describes them, or a cost that asks for a "
        "threshold of their own; and whether they should be decided on by the model at all.",
    ),
    CheckKind(
        "LL108",
        "Uncalibrated",
        "What is predicted and what happens differ on average, so that numbers can't be taken at their word.",
        "over ten bins of equal mass they differ by more than 0.02 (probability) or 0.1 standard deviations (value), chance set aside: the "
        "lower end of the interval is beyond it. Of several classes each is judged by itself, of quantiles the share of values below each, which may "
        "be off by 0.02; the 5% are shared among them",
        "there are fewer than 100 rows, all rows are of one cluster, or the score is no probability and no value",
        "Say `model: {calibrate: true}` for probabilities, or train on newer rows: a base rate that moved with the season shows here first.",
    ),
    CheckKind(
        "LL109",
        "Constant prediction",
        "The model answers nearly every row alike.",
        "one prediction is that of 99% of the rows or more",
        "there are no rows",
        "Look for features that are all missing at prediction time, or for a regularisation that leaves nothing.",
    ),
    CheckKind(
        "LL110",
        "Unstable under the seed",
        "The seed decides as much as the data, so that a better score may be luck.",
        "the primary metric of refits on the same sample, by seed alone, has a standard deviation above half of its interval's half-width",
        "no part of the model takes a seed, or the metric has no interval on the test rows",
        "Use more trees or rows, average over seeds, or compare versions by several seeds.",
    ),
)


def documentation() -> str:
    """The page docs/checks.md."""
    lines = [
        "# Model checks",
        "",
        "<!-- Written by `python -m lakeloop.evaluation.check_kinds docs/checks.md`. -->",
        "",
        "Every evaluation runs these on the model version that it judges. Each is an asset check of `evaluations`, a row of",
        "`reports/model_checks` and a line of the report, with one of three outcomes: **found**, **clean**, **not applicable**. A check that",
        "finds something warns; what stops a promotion are the workflow's `gates`.",
        "",
        "| code | asset check |",
        "|---|---|",
        *[f"| [{kind.code}](#{kind.anchor.split('#')[1]}) | `{kind.name}` |" for kind in KINDS.values()],
    ]
    for kind in KINDS.values():
        lines += ["", f"## {kind.code} {kind.title}", "", kind.text]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_text(documentation())
