"""Whether a champion answers the question that a workflow asks now, and its scores as answers to that question."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from lakeloop.spec.tasks import Answer

Array = np.ndarray


@dataclass(frozen=True)
class AnswerComparison:
    """How a champion's answer compares with the one that is declared now.

    Attributes:
        convert: converts the champion's scores to the declared answer; None when they can't be compared.
        note: what differs, a sentence; empty when nothing does.
    """

    convert: Callable[[Array], Array] | None
    note: str = ""


def compare_answers(declared: Answer, champion: Answer) -> AnswerComparison:
    """Compare a champion's answer with the one that is declared now.

    Classes are matched by name: one that the champion doesn't know has probability 0, and its probability of a class that is no longer
    declared is dropped. Of quantiles the champion must predict all that are declared. Another task can't be compared.
    """
    if declared == champion:
        return AnswerComparison(lambda scores: scores)
    if declared.task != champion.task:
        return AnswerComparison(None, f"it answers another question ({_task_words(champion)}, not {_task_words(declared)})")
    if declared.classes:
        positions = {label: position for position, label in enumerate(champion.classes)}
        sources = [positions.get(label) for label in declared.classes]
        if all(source is None for source in sources):
            return AnswerComparison(None, f"it knows none of the classes that are declared now ({_join(champion.classes)})")
        return AnswerComparison(lambda scores: _select_classes(scores, sources), _class_differences(declared, champion))
    if not set(declared.quantiles) <= set(champion.quantiles):
        return AnswerComparison(None, f"it predicts other quantiles ({_join(champion.quantiles)}, not {_join(declared.quantiles)})")
    columns = [champion.quantiles.index(level) for level in declared.quantiles]
    return AnswerComparison(lambda scores: scores[:, columns])


def _select_classes(scores: Array, sources: list[int | None]) -> Array:
    columns = [np.zeros(len(scores)) if source is None else scores[:, source] for source in sources]
    return np.stack(columns, axis=1)


def _class_differences(declared: Answer, champion: Answer) -> str:
    new = [label for label in declared.classes if label not in champion.classes]
    dropped = [label for label in champion.classes if label not in declared.classes]
    parts = [
        *([f"it doesn't know {_join(new)}, so the probability of that is taken as 0"] if new else []),
        *([f"its probability of {_join(dropped)}, no longer declared, is ignored"] if dropped else []),
    ]
    return "; ".join(parts)


def _task_words(answer: Answer) -> str:
    return answer.task.replace("_", " ")


def _join(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
