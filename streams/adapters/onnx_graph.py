"""What an ONNX file may hold: looked at before the runtime sees it.

A model file comes from where models are trained, and is run where requests are answered. So it must stand alone (no other files,
no operators but ONNX's own) and must end: no loops, no branches, no functions, so that a row costs what its nodes cost. Nor does
it draw random numbers: equal rows get equal answers. Memory that its nodes ask for is not bounded by this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from streams.adapters.artefact import UnusableArtefact

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

LARGEST_BYTES: Final = 256 * 2**20
MOST_NODES: Final = 10_000
"""A forest is one node; a graph of more is no model of a table."""
_ARITHMETIC: Final = """
    Abs Add Ceil Clip Cos CumSum Div Erf Exp Floor Log Max Mean Min Mod Mul Neg Pow Reciprocal Round Sign Sin Sqrt Sub Sum Tan
    Gemm MatMul
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
_LOGIC: Final = "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Where Xor"
_SHAPES: Final = """
    ArgMax ArgMin Cast Concat Constant Flatten Gather GatherElements GatherND Identity OneHot Reshape Shape Slice Split Squeeze TopK
    Transpose Unsqueeze
"""
_NETWORKS: Final = """
    BatchNormalization Celu Elu Gelu HardSigmoid HardSwish LayerNormalization LeakyRelu LogSoftmax Mish PRelu Relu Selu
    Sigmoid Softmax Softplus Softsign Tanh ThresholdedRelu
"""
_LEARNERS: Final = """
    ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor Normalizer OneHotEncoder
    SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
_BASIC: Final = frozenset(f"{_ARITHMETIC} {_LOGIC} {_SHAPES} {_NETWORKS}".split())
OPERATORS: Final = {"": _BASIC, "ai.onnx": _BASIC, "ai.onnx.ml": frozenset(_LEARNERS.split())}
"""By domain, those that may be in a graph."""


def check_graph(artefact: bytes, *, largest_bytes: int = LARGEST_BYTES) -> None:
    """Raises UnusableArtefact where it is no ONNX file, or may do more than answer rows."""
    import onnx
    from google.protobuf.message import DecodeError

    if len(artefact) > largest_bytes:
        raise UnusableArtefact(
            f"the artefact has {len(artefact):,} bytes; wanted {largest_bytes:,} at most: make a smaller model."
        )
    try:
        model = onnx.load_model_from_string(artefact)
    except DecodeError as error:
        raise UnusableArtefact(f"the artefact ({len(artefact)} bytes) is no ONNX model: {str(error)[:500]}") from error
    _check_domains(model)
    if len(model.graph.node) > MOST_NODES:
        raise UnusableArtefact(f"the artefact has {len(model.graph.node):,} nodes; wanted {MOST_NODES:,} at most.")
    for node in model.graph.node:
        _check_node(node)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise UnusableArtefact(f"the artefact keeps {tensor.name!r} in another file: save it with its data inside.")


def _check_domains(model: ModelProto) -> None:
    if model.functions or model.training_info:
        raise UnusableArtefact(
            "the artefact has functions of its own, or a graph to be trained by: export it for inference, with its operators inlined."
        )
    foreign = sorted({entry.domain for entry in model.opset_import} - OPERATORS.keys())
    if foreign:
        raise UnusableArtefact(f"the artefact needs operators of {', '.join(foreign)}; wanted only ONNX's own.")


def _check_node(node: NodeProto) -> None:
    # By node, since the runtime knows operators of its own that no import names.
    name = node.name or ", ".join(node.output)
    if node.domain not in OPERATORS:
        raise UnusableArtefact(f"node {name!r} is an operator of {node.domain}; wanted only ONNX's own.")
    if node.op_type not in OPERATORS[node.domain]:
        raise UnusableArtefact(
            f"node {name!r} is {node.op_type!r}, which is not among the operators that a model may have (no loops, no branches, no "
            "chance; the list: OPERATORS in streams/adapters/onnx_graph.py)."
        )
    for attribute in node.attribute:
        if attribute.HasField("g") or attribute.graphs:
            raise UnusableArtefact(f"node {name!r} has a graph within: export it without loops and branches.")


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every constant; no node has a graph within."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
