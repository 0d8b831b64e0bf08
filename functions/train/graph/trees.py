"""Ensembles of regression trees as nodes of an ONNX graph, equal to the fitted ones down to the rounding of a leaf.

scikit-learn, XGBoost and CatBoost all compare features in single precision, so the matrix is cast to it once; a
scikit-learn threshold is a double and is rounded down, which decides every single-precision comparison alike.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from functions.train.graph.graph import Graph, NotExportable

MAX_NODES = 4_000_000
"""About 200 MB of graph: more is slow to load wherever it is served."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Tree:
    """One tree by node (m,): the features compared, thresholds, both children (−1 at a leaf) and the leaves' values."""

    feature: Array
    threshold: Array
    yes: Array
    no: Array
    value: Array


def random_forest(estimator: Any, graph: Graph, features: str) -> None:
    """Add a fitted RandomForestRegressor: the mean of its trees."""
    trees = [_tree(member) for member in estimator.estimators_]
    offset = float(np.mean([member.tree_.value[0, 0, 0] for member in estimator.estimators_]))
    scaled = [_scaled(tree, 1 / len(trees), offset) for tree in trees]
    graph.predict(_ensemble(graph, features, scaled, "BRANCH_LEQ"), offset)


def decision_tree(estimator: Any, graph: Graph, features: str) -> None:
    """Add a fitted DecisionTreeRegressor."""
    offset = float(estimator.tree_.value[0, 0, 0])
    graph.predict(_ensemble(graph, features, [_scaled(_tree(estimator), 1.0, offset)], "BRANCH_LEQ"), offset)


def gradient_boosting(estimator: Any, graph: Graph, features: str) -> None:
    """Add a fitted GradientBoostingRegressor: its start and its scaled trees."""
    trees = [_scaled(_tree(member), estimator.learning_rate, 0.0) for member in estimator.estimators_[:, 0]]
    start = float(np.ravel(estimator.init_.constant_)[0])
    graph.predict(_ensemble(graph, features, trees, "BRANCH_LEQ"), start)


def ada_boost(estimator: Any, graph: Graph, features: str) -> None:
    """The weighted median of the trees: their predictions sorted, the first whose cumulated weight reaches a half."""
    offset = float(estimator.estimators_[0].tree_.value[0, 0, 0])
    trees = [_scaled(_tree(member), 1.0, offset) for member in estimator.estimators_]
    count = len(trees)
    weights = np.asarray(estimator.estimator_weights_[:count], dtype=np.float64)
    each = _ensemble(graph, features, trees, "BRANCH_LEQ", targets=count)
    graph.constant("tree_count", np.array([count], dtype=np.int64))
    graph.constant("tree_weights", weights)
    graph.constant("last_axis", np.array(1, dtype=np.int64))
    graph.constant("half", np.array(0.5))
    graph.constant("last", np.array([count - 1], dtype=np.int64))
    graph.node("TopK", [each, "tree_count"], ["sorted", "order"], axis=1, largest=0, sorted=1)
    graph.node("Gather", ["tree_weights", "order"], ["sorted_weights"])
    graph.node("CumSum", ["sorted_weights", "last_axis"], ["cumulated"])
    graph.node("Gather", ["cumulated", "last"], ["total"], axis=1)
    graph.node("Mul", ["total", "half"], ["half_total"])
    graph.node("GreaterOrEqual", ["cumulated", "half_total"], ["above"])
    graph.node("Cast", ["above"], ["above_number"], to=TensorProto.INT32)
    graph.node("ArgMax", ["above_number"], ["median_position"], axis=1, keepdims=1)
    graph.node("GatherElements", ["sorted", "median_position"], ["tree_median"], axis=1)
    graph.predict("tree_median", offset)


def xgboost(estimator: Any, graph: Graph, features: str) -> None:
    """Add a fitted XGBRegressor, read from its own JSON."""
    learner = json.loads(bytes(estimator.get_booster().save_raw("json")))["learner"]
    start = float(learner["learner_model_param"]["base_score"].strip("[]"))
    trees = [_xgboost_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
    graph.predict(_ensemble(graph, features, trees, "BRANCH_LT"), start)


def catboost(estimator: Any, graph: Graph, features: str, convert: Callable[[Any], Any]) -> None:
    """CatBoost's own conversion, `convert`, its one node moved behind our preprocessing."""
    if estimator.tree_count_ * 2 ** (estimator.get_all_params()["depth"] + 1) > MAX_NODES:
        raise NotExportable(f"its trees have more than {MAX_NODES} nodes")
    (node,) = convert(estimator).graph.node
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    start = float(attributes.pop("base_values", [0.0])[0])
    graph.predict(_tree_node(graph, features, attributes), start)


def _tree(fitted: Any) -> Tree:
    tree = fitted.tree_
    single = tree.threshold.astype(np.float32)
    rounded = np.where(single > tree.threshold, np.nextafter(single, np.float32(-np.inf)), single)
    return Tree(tree.feature, rounded, tree.children_left, tree.children_right, tree.value[:, 0, 0])


def _xgboost_tree(tree: Mapping[str, Any]) -> Tree:
    conditions = np.array(tree["split_conditions"], dtype=np.float32)  # a leaf has its value there
    return Tree(
        np.array(tree["split_indices"]),
        conditions,
        np.array(tree["left_children"]),
        np.array(tree["right_children"]),
        conditions,
    )


def _scaled(tree: Tree, factor: float, offset: float) -> Tree:
    """Leaves less a common offset: what is summed in single precision is then small."""
    return Tree(tree.feature, tree.threshold, tree.yes, tree.no, (tree.value - offset) * factor)


def _ensemble(graph: Graph, features: str, trees: Sequence[Tree], mode: str, targets: int = 1) -> str:
    """The sum of `trees`, or with `targets` each tree's prediction by itself: the name of a double (n, targets)."""
    sizes = [len(tree.feature) for tree in trees]
    if sum(sizes) > MAX_NODES:
        raise NotExportable(f"its trees have {sum(sizes)} nodes, over the limit of {MAX_NODES}")
    leaf = np.concatenate([tree.yes < 0 for tree in trees])
    ids = np.concatenate([np.arange(size) for size in sizes])
    owner = np.repeat(np.arange(len(trees)), sizes)
    attributes = {
        "post_transform": "NONE",
        "n_targets": targets,
        "nodes_treeids": owner,
        "nodes_nodeids": ids,
        "nodes_featureids": np.where(leaf, 0, _joined(trees, "feature")),
        "nodes_values": np.where(leaf, 0, _joined(trees, "threshold")),
        "nodes_modes": [b"LEAF" if end else mode.encode() for end in leaf],
        "nodes_truenodeids": np.where(leaf, 0, _joined(trees, "yes")),
        "nodes_falsenodeids": np.where(leaf, 0, _joined(trees, "no")),
        "target_treeids": owner[leaf],
        "target_nodeids": ids[leaf],
        "target_ids": owner[leaf] if targets > 1 else np.zeros(int(leaf.sum()), dtype=int),
        "target_weights": _joined(trees, "value")[leaf],
    }
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in attributes.items()}
    return _tree_node(graph, features, plain)


def _joined(trees: Sequence[Tree], field: str) -> Array:
    return np.concatenate([getattr(tree, field) for tree in trees])


def _tree_node(graph: Graph, features: str, attributes: Mapping[str, Any]) -> str:
    graph.node("Cast", [features], ["features_single"], to=TensorProto.FLOAT)
    graph.node("TreeEnsembleRegressor", ["features_single"], ["trees_single"], domain="ai.onnx.ml", **attributes)
    graph.node("Cast", ["trees_single"], ["trees"], to=TensorProto.DOUBLE)
    return "trees"
