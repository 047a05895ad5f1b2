"""What an ONNX file may hold: it stands alone, it ends, and it fits; anything else is refused before it is run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from streams.adapters.artefact import UnusableArtefact
from streams.adapters.onnx_graph import MOST_NODES, check_graph
from streams.adapters.onnx_predictor import load_onnx
from tests.core.test_onnx_predictor import KINDS, contract, frozen, matrix


def _graph(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_model_from_string(frozen(contract(2), matrix()))
    change(model)
    return model.SerializeToString()


def _outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="passwd")


def _outside_in_a_node(model: onnx.ModelProto) -> None:
    tensor = onnx.helper.make_tensor("hidden", onnx.TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="passwd")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=tensor))


def _inner() -> onnx.GraphProto:
    return onnx.helper.make_graph([onnx.helper.make_node("Identity", ["rows"], ["same"])], "inner", [], [])


def _branch(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("If", ["missing"], ["if"], then_branch=_inner(), else_branch=_inner()))


def _loop(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("Loop", ["", "missing"], ["loop"], body=_inner()))


def _graph_within(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", _inner()))


def _of_the_runtime(model: onnx.ModelProto) -> None:
    """Without an import; the runtime would run it."""
    model.graph.node.append(onnx.helper.make_node("Gelu", ["rows"], ["unused"], domain="com.microsoft"))


def _two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(onnx.helper.make_tensor_value_info("share", onnx.TensorProto.DOUBLE, ["n", 2]))


def _one_row_only(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _whole_numbers(model: onnx.ModelProto) -> None:
    model.graph.node[-1].CopyFrom(onnx.helper.make_node("Cast", ["shares"], ["scores"], to=onnx.TensorProto.INT64))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Frobnicate"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_outside, "in another file"),
        (_outside_in_a_node, "'hidden' in another file"),
        (_branch, "node 'if' is 'If', which is not among"),
        (_loop, "node 'loop' is 'Loop', which is not among"),
        (_graph_within, "has a graph within"),
        (_of_the_runtime, "is an operator of com.microsoft"),
        (lambda model: model.graph.node[-1].__setattr__("domain", "ai.onnx.ml"), "'Identity', which is not among"),
        (lambda model: model.graph.node.extend([model.graph.node[0]] * MOST_NODES), "10,0.. nodes; wanted 10,000 at most"),
        (lambda model: model.opset_import.add(domain="com.example", version=1), "operators of com.example"),
        (lambda model: model.functions.add(name="own", domain="own"), "functions of its own"),
        (_two_outputs, "1 inputs and 2 outputs"),
        (_one_row_only, "wanted any number of rows"),
        (_whole_numbers, "answers with int64"),
        (_unknown_operator, "'Frobnicate', which is not among"),
        (lambda model: model.opset_import[0].__setattr__("version", 999), "cannot load the artefact"),
    ],
)
def test_a_graph_that_does_not_stand_alone_or_does_not_fit_is_refused(
    change: Callable[[onnx.ModelProto], object], why: str
) -> None:
    """Before the runtime opens anything. Control: unchanged, it is taken."""
    assert load_onnx(contract(2), _graph(lambda model: None))
    with pytest.raises(UnusableArtefact, match=why):
        load_onnx(contract(2), _graph(change))


def test_a_model_file_has_a_largest_size() -> None:
    """Looked at before it is read. Control: a byte more is enough."""
    artefact = frozen(contract(2), matrix())
    check_graph(artefact, largest_bytes=len(artefact))
    with pytest.raises(UnusableArtefact, match=f"has {len(artefact):,} bytes; wanted {len(artefact) - 1:,} at most"):
        check_graph(artefact, largest_bytes=len(artefact) - 1)


def test_bytes_that_read_as_two_formats_are_read_as_the_one_that_was_looked_into() -> None:
    """An unknown field at the front, whose bytes are where the runtime's own format has its mark."""
    of, rows = contract(2), matrix()
    artefact = frozen(of, rows)
    twofold = bytes([0x7A, 0x84, 0x80, 0x00]) + b"ORTM" + artefact
    np.testing.assert_array_equal(load_onnx(of, twofold).predict_matrix(rows)[0], load_onnx(of, artefact).predict_matrix(rows)[0])


def test_trees_and_lines_of_other_tools_are_taken() -> None:
    """Operators of ai.onnx.ml; NaN goes where the tree says."""
    of = contract(0, KINDS[:1])
    tree = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["scores"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[1.5, 0.0, 0.0], nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], target_treeids=[0, 0], target_nodeids=[1, 2],
        target_ids=[0, 0], target_weights=[7.0, 8.0],
    )  # fmt: skip
    graph = onnx.helper.make_graph(
        [tree],
        "tree",
        [onnx.helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, ["n", 1])],
        [onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", 1])],
    )
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)
    values, _ = load_onnx(of, model.SerializeToString()).predict_matrix(np.array([[1.0], [2.0]], dtype=np.float32))
    assert values.tolist() == [7.0, 8.0]
