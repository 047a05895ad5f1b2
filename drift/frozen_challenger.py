"""A challenger as it stands, as a model file that learns no more: an ONNX graph from encoded rows to scores.

Input `rows`, 32-bit [n, features] as `streams.encoding` makes them (NaN: missing). Output `scores`, [n, classes] that add
up to 1, or [n, 1] numbers. It computes what `drift.challenger.predict` computes, in the same precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from drift.challenger import Challenger, Shape, lowest_share
from drift.challenger_encoding import CLIP, COSINE_HEIGHT, COSINES
from streams.contract import Contract

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET: Final = 17
IR_VERSION: Final = 8
"""Old enough for any runtime of the last years; the graph needs nothing newer."""


def to_onnx(state: Challenger, contract: Contract) -> bytes:
    """The model file: equal state, equal bytes. Raises ValueError where the contract is not the one that it learnt by."""
    import onnx

    wanted = Shape.of(contract)
    if (state.shape.kinds, state.shape.classes) != (wanted.kinds, wanted.classes):
        raise ValueError(
            f"the challenger knows {len(state.shape.kinds)} features and {state.shape.classes} classes, contract "
            f"{contract.model!r} has {len(wanted.kinds)} and {wanted.classes}, or features of other kinds: begin it anew."
        )
    graph = _Graph()
    base = _base(graph, state)
    scores = _scores(graph, state, base)
    graph.node("Identity", [scores], "scores")
    features, outputs = len(state.shape.kinds), state.shape.outputs
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "challenger",
            [onnx.helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, ["n", features])],
            [onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.DOUBLE, ["n", outputs])],
            initializer=graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="homeostat",
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """Nodes and constants in the order in which they are added; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, values: object, kind: type[np.generic]) -> str:
        """A constant's name."""
        import onnx

        array = np.ascontiguousarray(np.asarray(values, dtype=kind))
        self.constants.append(onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """The name of what it puts out."""
        import onnx

        self.nodes.append(onnx.helper.make_node(operation, inputs, [output], name=output, **attributes))
        return output

    def cast(self, value: str, kind: int, output: str) -> str:
        """The same numbers in another precision."""
        return self.node("Cast", [value], output, to=kind)


def _base(graph: _Graph, state: Challenger) -> str:
    """The base columns (see `challenger_encoding`), 32-bit."""
    import onnx

    shape, parts = state.shape, []
    infinite = graph.node("IsInf", ["rows"], "infinite")
    missing = graph.node("Or", [graph.node("IsNaN", ["rows"], "not_a_number"), infinite], "missing")
    low, high = graph.constant("low", -CLIP, np.float32), graph.constant("high", CLIP, np.float32)
    if len(shape.plain):
        places = graph.constant("plain", shape.plain, np.int64)
        values = graph.cast(graph.node("Gather", ["rows", places], "plain_rows", axis=1), onnx.TensorProto.DOUBLE, "plain_values")
        absent = graph.node("Gather", [missing, places], "plain_missing", axis=1)
        centre = graph.constant("centre", state.scaling.centre[shape.plain], np.float64)
        scale = graph.constant("scale", state.scaling.scale[shape.plain], np.float64)
        known = graph.node("Where", [absent, centre, values], "plain_known")
        scaled = graph.node("Div", [graph.node("Sub", [known, centre], "centred"), scale], "scaled")
        ends = [graph.constant("lowest", -CLIP, np.float64), graph.constant("highest", CLIP, np.float64)]
        parts.append(graph.cast(graph.node("Clip", [scaled, *ends], "cut"), onnx.TensorProto.FLOAT, "plain_base"))
    if len(shape.categories):
        parts.append(_one_hot(graph, shape, missing))
    parts.append(graph.cast(missing, onnx.TensorProto.FLOAT, "missing_base"))
    base = graph.node("Concat", parts, "unfolded", axis=1)
    if shape.folded:
        fold = graph.constant("fold", state.mixtures.fold, np.float32)
        base = graph.node("Clip", [graph.node("MatMul", [base, fold], "folded"), low, high], "base")
    return base


def _one_hot(graph: _Graph, shape: Shape, missing: str) -> str:
    import onnx

    places = graph.constant("categories", shape.categories, np.int64)
    absent = graph.node("Gather", [missing, places], "category_missing", axis=1)
    buckets = graph.node(
        "Floor", [graph.node("Abs", [graph.node("Gather", ["rows", places], "named", axis=1)], "size")], "bucket"
    )
    columns = graph.constant("columns", shape.category_columns, np.float32)
    column = graph.node("Mod", [buckets, columns], "column", fmod=1)
    nowhere = graph.constant("nowhere", -1.0, np.float32)
    known = graph.node("Where", [absent, nowhere, column], "known_column")
    last = graph.constant("last_axis", [2], np.int64)
    every = graph.constant("every_column", np.arange(shape.category_columns), np.float32)
    hot = graph.node("Equal", [graph.node("Unsqueeze", [known, last], "stood_up"), every], "hot")
    flat = graph.constant("flat", [-1, len(shape.categories) * shape.category_columns], np.int64)
    return graph.node("Reshape", [graph.cast(hot, onnx.TensorProto.FLOAT, "hot_columns"), flat], "category_base")


def _scores(graph: _Graph, state: Challenger, base: str) -> str:
    """Shares of the classes, or numbers, 64-bit."""
    import onnx

    coefficients = state.coefficients[state.answering]
    mixed = graph.node("MatMul", [base, graph.constant("weights", state.mixtures.weights, np.float32)], "mixed")
    phased = graph.node("Add", [mixed, graph.constant("phases", state.mixtures.phases, np.float32)], "phased")
    height = graph.constant("height", COSINE_HEIGHT, np.float32)
    cosines = graph.node("Mul", [graph.node("Cos", [phased], "waves"), height], "cosines")
    wide = [graph.cast(base, onnx.TensorProto.DOUBLE, "base_wide"), graph.cast(cosines, onnx.TensorProto.DOUBLE, "cosines_wide")]
    slopes = [
        graph.constant("base_slopes", coefficients[1:-COSINES], np.float64),
        graph.constant("cosine_slopes", coefficients[-COSINES:], np.float64),
    ]
    linear = graph.node("MatMul", [wide[0], slopes[0]], "linear")
    curved = graph.node("MatMul", [wide[1], slopes[1]], "curved")
    level = graph.constant("level", coefficients[:1], np.float64)
    score = graph.node("Add", [graph.node("Add", [linear, curved], "slope"), level], "score")
    classes = state.shape.classes
    if not classes:
        scale = graph.constant("target_scale", state.target_scaling.scale, np.float64)
        centre = graph.constant("target_centre", state.target_scaling.centre, np.float64)
        return graph.node("Add", [graph.node("Mul", [score, scale], "stretched"), centre], "number")
    least = lowest_share(classes)
    even = graph.constant("even", 1.0 / classes, np.float64)
    ends = [graph.constant("least", least, np.float64), graph.constant("most", 1.0 - least, np.float64)]
    cut = graph.node("Clip", [graph.node("Add", [score, even], "share"), *ends], "cut_share")
    axis = graph.constant("class_axis", [1], np.int64)
    return graph.node("Div", [cut, graph.node("ReduceSum", [cut, axis], "all", keepdims=1)], "shares")
