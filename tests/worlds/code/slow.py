"""An estimator that takes its time, so that a test can stop the step in the middle of a fit."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression


class SlowClassifier(LogisticRegression):
    """Writes which process fits into a new file of the folder `marks`; the first `slow_fits` fits then go on for a minute."""

    def __init__(self, marks: str = "", slow_fits: int = 0) -> None:
        super().__init__()
        self.marks, self.slow_fits = marks, slow_fits

    def fit(self, X, y, sample_weight=None):
        """Fit, after a minute if it is one of the slow ones."""
        before = len(list(Path(self.marks).iterdir()))
        Path(self.marks, str(os.getpid())).touch()
        if before < self.slow_fits:
            time.sleep(60)
        return super().fit(X, y, sample_weight)
