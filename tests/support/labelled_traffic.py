"""Predictions of rows that have shifted, with the true label of each row, until a block ends."""

import itertools
import threading
from collections import Counter
from types import TracebackType
from typing import Final, Self

import httpx
from sklearn.datasets import load_breast_cancer

BATCH: Final = 10
"""Rows of one request."""
PAUSE_S: Final = 0.2
"""Pause between two requests."""
SHIFT: Final = 2.0
"""Standard deviations by which every column has shifted."""


class LabelledTraffic:
    """Sends the shifted rows of the breast-cancer data again and again, and after each answer the labels of its rows.

    Args:
        api: Client of the service, with the token for labels.
    """

    def __init__(self, api: httpx.Client) -> None:
        data = load_breast_cancer(as_frame=True)
        self._api = api
        self._rows = (data.data + SHIFT * data.data.std()).to_dict("records")
        self._labels = data.target_names[data.target].tolist()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.failures: Counter[str] = Counter()
        """Failed requests by reason."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for start in itertools.cycle(range(0, len(self._rows), BATCH)):
            if self._stop.wait(PAUSE_S):
                return
            self.sent += 1
            try:
                self._send(range(start, min(start + BATCH, len(self._rows))))
            except httpx.HTTPError as error:
                self.failures[f"{type(error).__name__}: {error}"] += 1

    def _send(self, batch: range) -> None:
        answer = self._api.post("predict", json={"rows": [self._rows[index] for index in batch]}).raise_for_status()
        request = answer.headers["x-request-id"]
        labels = [{"request_id": request, "row": row, "label": self._labels[index]} for row, index in enumerate(batch)]
        self._api.post("feedback", json={"labels": labels}).raise_for_status()
