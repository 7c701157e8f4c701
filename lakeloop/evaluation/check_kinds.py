"""Codes, meanings and remedies of the model checks, from which docs/checks.md is written. `lakeloop.evaluation.model_checks` computes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CheckKind:
    """A check and its documentation."""

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
        """Its documentation, as Markdown."""
        always = self.not_applicable_when == "never"
        lines = [
            self.meaning,
            "",
            f"* **Found** when {self.found_when}.",
            "* Always applicable." if always else f"* **Not applicable** when {self.not_applicable_when}.",
            f"* **What to do.** {self.what_to_do}",
        ]
        return "\n".join(lines)


def _by_code(*kinds: CheckKind) -> dict[str, CheckKind]:
    return {kind.code: kind for kind in kinds}


KINDS: Mapping[str, CheckKind] = _by_code(
    CheckKind(
        "LL101",
        "Overfit",
        "The model is much better on its training rows than on rows that it hasn't seen.",
        "the advantage over a constant on the test rows is significantly less than half of that on the training rows (one-sided, 5%)",
        "the model is no better than a constant on its own training rows, or there is no interval on the test rows",
        "Use fewer or larger leaves, more regularisation, fewer features or more rows. If only the newest weeks are worse, the data have "
        "changed: see the error over time.",
    ),
    CheckKind(
        "LL102",
        "Overlap in time",
        "The model was trained on information that was not known when the test window began, so its score is too good.",
        "a training row is in the test window, or its label was known only after the window began; or a feature comes from a view without event time "
        "that reads a table whose rows are known only some time after their event (`known_delay`), so that it counts as known too early",
        "never",
        "Set `split.gap` to at least the time until a label is known. Give the view an event time, or say `known_delay: ignored` in it where what it "
        "reads is known before the whole row is; with the gate `leaks`, `lakeloop check` asks for one of them.",
    ),
    CheckKind(
        "LL103",
        "Overlap of entities",
        "Test rows have entities that the model was trained on, so it may have memorised them. An entity is all keys together, or any key or "
        "feature whose values repeat and whom the label belongs to: rows of one value share at least half of the label's variance (a tenth, where "
        "its name says that it is an entity) beyond what rows of the next values share.",
        "keys that are unique among the training rows occur again in the test rows; or rows have no time, and the values of an entity are on both "
        "sides of the split; or, where later rows are predicted and entities repeat by design, the primary metric is better on known entities "
        "than on new ones (one-sided, 5% over all columns together)",
        "entities repeat by design and too few in the test window are new; or it is not enough to tell: of 20 planted entities of four rows, to which "
        "the label belongs, fewer than 80% are told as such among so many training rows",
        "For duplicates, correct the spine. Where rows of a person, a machine or a shop belong together, write `split: {group: …}` with its "
        "column. Otherwise expect the score of new entities for new entities, and leave out features that only identify an entity.",
    ),
    CheckKind(
        "LL104",
        "Leakage by a feature",
        "One feature alone predicts the label, which usually means that it was recorded after the outcome.",
        "one feature alone reaches a ROC AUC of 0.95 (for several classes: each against the rest, on average), or an R² of 0.9, on the test rows or "
        "on those where it has a value, and gives at least 60% of the variance of classes or reaches 0.98; or puts 95% of the pairs of rows with different numbers as labels in order; or it is missing, or has a value, in at least 30 rows of which hardly one (0.5%, and a tenth of the share "
        "among the other rows) has another label",
        "there is no feature that can be scored, no label to predict from it, or a class with fewer than 10 test rows; or it is not enough to tell: "
        "of 20 planted features that give the label in half of the rows, and so lift a metric by half of the distance from constant to perfect, "
        "fewer than 80% are found at this size",
        "Find out how and when the feature is recorded: give its view a `delay` or `known_at`, or leave it out.",
    ),
    CheckKind(
        "LL105",
        "Worse than baseline",
        "Something much simpler is as good.",
        "the model is not significantly better than a constant, or a linear model on the same features is significantly better (one-sided, "
        "5% each); or by a metric that a gate names, or by log loss or Brier score where it predicts probabilities, a constant is better, or "
        "a linear model significantly so (5% together). With a blocking gate `champion` such a model isn't released",
        "never",
        "Start from the linear pipeline; look for informative features; look for a mistake in the label.",
    ),
    CheckKind(
        "LL106",
        "Worse than champion",
        "The released model is better on the same rows, which neither model was trained on as far as is known.",
        "the paired difference of the primary metric is below zero (one-sided, 5%). The gate `champion` requires more: that a loss of `max_drop` "
        "or more is ruled out",
        "there is no champion, or too few rows that it wasn't trained on",
        "Keep the champion. The report lists the changes since the last version.",
    ),
    CheckKind(
        "LL107",
        "Weak slice",
        "The model errs more on some rows, described by a condition, than on the rest.",
        "a slice has at least 1.2 times the error of the rest, proposed by one half of the test rows and confirmed on the other "
        "(Holm's test over all proposed slices, 5% together); of classes 1.2 times what follows from their shares: where a rare outcome is more "
        "frequent, every model errs more",
        "no column may be searched",
        "Some slices are just harder. Check whether they have enough training rows, a feature that describes them, or costs that need a "
        "threshold of their own; and whether the model should decide about them at all.",
    ),
    CheckKind(
        "LL108",
        "Uncalibrated",
        "Predictions and outcomes differ on average, so that predictions can't be read as probabilities or expected values.",
        "over ten bins of equally many rows they differ by significantly more than 0.02 (probability) or 0.1 standard deviations (value): the "
        "lower end of the interval is above that. For several classes each class is tested, for quantiles the share of values below each, which "
        "may be off by 0.02; the tests share the 5%",
        "there are fewer than 100 rows, all rows are of one cluster, or the score is neither a probability nor a value",
        "Set `model: {calibrate: true}` for probabilities, or train on newer rows: a base rate that changes with the season shows here first.",
    ),
    CheckKind(
        "LL109",
        "Constant prediction",
        "The model predicts the same for nearly every row.",
        "99% of the rows or more have the same prediction",
        "there are no rows",
        "Look for features that are all missing at prediction time, or for too strong a regularisation.",
    ),
    CheckKind(
        "LL110",
        "Unstable under the seed",
        "The seed decides as much as the data, so that a better score may be luck.",
        "the primary metric of refits on the same sample with other seeds has a standard deviation above half of its interval's half-width",
        "no part of the model takes a seed, or the metric has no interval on the test rows",
        "Use more trees or rows, average over seeds, or compare versions over several seeds.",
    ),
    CheckKind(
        "LL111",
        "Label made of features",
        "Several features give the label together: it was computed from them, or they were recorded with it.",
        "99.95% of the pairs of rows with different labels are put in order by a weighted sum or product of at most twelve numbers, or by the sum, "
        "difference, product, ratio, smaller, larger or length of two; or two columns of few values (or signs) give the label in every "
        "combination. It is looked for on half of up to 3,000 rows and must hold on the other half",
        "there are fewer than 100 rows, or it is a forecast, in which the last values may say most of the next; or it is not enough to tell: of 10 "
        "planted relations (a sum of two, a weighted sum of three above a bound, a map of two codes of classes) fewer than 80% are found in so many rows",
        "Leave out all columns that the message names, or take them as they were known when the prediction is asked for.",
    ),
)


_MEASURED = (
    "Leaks that are planted beside the honest features of public data sets, and how many features of the data sets as they are the same checks accuse "
    "(LL103 for rows without a time, LL104 and LL111). `python -m benchmarks.truth leaks --packages FOLDER --write COMMIT` measures it.",
    "",
    "<!-- leaks: written by benchmarks.truth -->",
    "<!-- end of leaks -->",
)


def documentation() -> str:
    """The text of docs/checks.md, without what is measured."""
    lines = [
        "# Model checks",
        "",
        "<!-- Written by `python -m lakeloop.evaluation.check_kinds docs/checks.md`. -->",
        "",
        "Every evaluation runs these checks on its model version. Each is an asset check of `evaluations`, a row of `reports/model_checks` and",
        "a line of the report, with one of three outcomes: **found**, **clean**, **not applicable**. A check that finds something warns; only",
        "the workflow's `gates` stop a promotion.",
        "",
        "| code | asset check |",
        "|---|---|",
        *[f"| [{kind.code}](#{kind.anchor.split('#')[1]}) | `{kind.name}` |" for kind in KINDS.values()],
    ]
    for kind in KINDS.values():
        lines += ["", f"## {kind.code} {kind.title}", "", kind.text]
    lines += ["", "## How well leaks are found", "", *_MEASURED]
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    r"""The text of docs/checks.md anew, with what the page has between its marks of what is measured.

    >>> measured = f"{_MEASURED[2]}\n| leaks |\n{_MEASURED[3]}"
    >>> measured in written(f"old\n{measured}\n")
    True
    """
    begin, end = (f"{mark}\n" for mark in _MEASURED[2:])
    measured = page.partition(begin)[2].partition(end)[0] if begin in page else ""
    return documentation().replace(begin, begin + measured)


if __name__ == "__main__":
    import sys
    from pathlib import Path

    page = Path(sys.argv[1])
    page.write_text(written(page.read_text() if page.exists() else ""))
