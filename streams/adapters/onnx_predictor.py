"""Loads an ONNX artefact and answers rows with it.

The graph takes encoded rows, 32-bit [n, features] (see `streams.encoding`), and gives probabilities [n, classes], or numbers
[n, 1]. What the file may hold: `streams.adapters.onnx_graph`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from streams.adapters.artefact import UnusableArtefact, Values, answered, likeliest
from streams.adapters.onnx_graph import check_graph
from streams.contract import Contract
from streams.encoding import Matrix
from streams.events import Scalar

FORMAT: Final = "onnx"
_FATAL: Final = 4
"""The runtime logs nothing below: what is wrong is raised."""


class ONNXPredictor:
    """A session on one thread."""

    def __init__(self, session: Any, contract: Contract) -> None:
        self._session = session
        self._contract = contract
        self._input = session.get_inputs()[0].name
        self._classes = len(contract.target.classes)

    def predict(self, rows: Sequence[Mapping[str, Scalar]]) -> list[tuple[float, float | None]]:
        """Per row the class index and its probability, or the number and None."""
        return answered(self, self._contract, rows)

    def predict_matrix(self, matrix: Matrix) -> tuple[Values, Values | None]:
        """Values and, for classifiers, confidences of encoded rows (see `streams.encoding`)."""
        if not len(matrix):
            return np.empty(0), np.empty(0) if self._classes else None
        (scores,) = self._session.run(None, {self._input: np.ascontiguousarray(matrix, dtype=np.float32)})
        scores = np.asarray(scores, dtype=np.float64)
        return likeliest(scores) if self._classes else (scores.reshape(len(matrix)), None)


def load_onnx(contract: Contract, artefact: bytes) -> ONNXPredictor:
    """The predictor of bytes that this process made or has verified. Raises UnusableArtefact."""
    import onnxruntime

    check_graph(artefact)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL
    # Else bytes that read as both would be taken for the runtime's own format, which nobody has looked into.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    onnxruntime.disable_telemetry_events()
    try:
        session = onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # each of the runtime's errors is an Exception of its own
        raise UnusableArtefact(f"ONNX Runtime cannot load the artefact ({len(artefact)} bytes): {_first_line(error)}") from error
    _check_input(session, contract)
    predictor = ONNXPredictor(session, contract)
    _check_outputs(session, contract)
    return predictor


def _check_input(session: Any, contract: Contract) -> None:
    inputs, outputs, features = session.get_inputs(), session.get_outputs(), len(contract.features)
    if len(inputs) != 1 or len(outputs) != 1:
        raise UnusableArtefact(f"artefact has {len(inputs)} inputs and {len(outputs)} outputs; wanted one of each.")
    kind, shape = inputs[0].type, inputs[0].shape
    if kind != "tensor(float)" or len(shape) != 2 or isinstance(shape[0], int):
        raise UnusableArtefact(f"artefact takes {kind} of shape {shape}; wanted any number of rows, tensor(float).")
    if isinstance(shape[1], int) and shape[1] != features:
        raise UnusableArtefact(f"artefact has {shape[1]} features, its contract {features}: they are not of one release.")


def _check_outputs(session: Any, contract: Contract) -> None:
    """Ask it two rows of missing values: the shape of the answer must fit the contract's target. Also warms it."""
    rows = np.full((2, len(contract.features)), np.nan, dtype=np.float32)
    try:
        (scores,) = session.run(None, {session.get_inputs()[0].name: rows})
    except Exception as error:  # each of the runtime's errors is an Exception of its own
        raise UnusableArtefact(f"the artefact answers no row of missing values: {_first_line(error)}") from error
    classes = len(contract.target.classes)
    wanted = {(2, classes)} if classes else {(2, 1), (2,)}
    if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f" or scores.shape not in wanted:
        found = f"{scores.dtype} of shape {scores.shape}" if isinstance(scores, np.ndarray) else type(scores).__name__
        raise UnusableArtefact(f"artefact answers with {found} for two rows; its contract has {classes} classes.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
