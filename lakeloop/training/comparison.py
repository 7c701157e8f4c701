"""Whether a champion answers what a workflow asks now, and its scores as answers to that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lakeloop.spec.tasks import Answer

Array = np.ndarray


@dataclass(frozen=True)
class Comparable:
    """How two answers compare.

    Attributes:
        take: the champion's scores as answers to what is asked now; None where they can't be compared.
        told: what differs, a sentence; empty where nothing does.
    """

    take: Callable[[Array], Array] | None
    told: str = ""


def comparable(asked: Answer, champion: Answer) -> Comparable:
    """Hold a champion's answer against what is asked now.

    Classes are matched by name: one that the champion doesn't know has probability 0, and what it says of one that is no longer declared counts
    for none. Of quantiles it must have all that are asked for. Another task is another question.
    """
    if asked == champion:
        return Comparable(lambda scores: scores)
    if asked.task != champion.task:
        return Comparable(None, f"it answers another question ({_plain(champion)}, not {_plain(asked)})")
    if asked.classes:
        known = {label: place for place, label in enumerate(champion.classes)}
        places = [known.get(label) for label in asked.classes]
        if all(place is None for place in places):
            return Comparable(None, f"it knows none of the classes that are declared now ({_listed(champion.classes)})")
        return Comparable(lambda scores: _by_class(scores, places), _classes_told(asked, champion))
    if not set(asked.quantiles) <= set(champion.quantiles):
        return Comparable(None, f"it predicts other quantiles ({_listed(champion.quantiles)}, not {_listed(asked.quantiles)})")
    columns = [champion.quantiles.index(level) for level in asked.quantiles]
    return Comparable(lambda scores: scores[:, columns])


def _by_class(scores: Array, places: list[int | None]) -> Array:
    columns = [np.zeros(len(scores)) if place is None else scores[:, place] for place in places]
    return np.stack(columns, axis=1)


def _classes_told(asked: Answer, champion: Answer) -> str:
    new = [label for label in asked.classes if label not in champion.classes]
    gone = [label for label in champion.classes if label not in asked.classes]
    parts = [
        *([f"it doesn't know {_listed(new)}, and so gives that a probability of 0"] if new else []),
        *([f"what it says of {_listed(gone)}, no longer declared, counts for none"] if gone else []),
    ]
    return "; ".join(parts)


def _plain(answer: Answer) -> str:
    return answer.task.replace("_", " ")


def _listed(values: tuple[object, ...] | list[object] | list[str | int]) -> str:
    return ", ".join(map(str, values))
