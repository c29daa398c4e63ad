import networkx
import pytest
import torch
from made_signals import class_signals, make_signals

from lightning_factorlens.hierarchy import hierarchy, image_hierarchy, significance
from lightning_factorlens.results import HierarchySizes

#: For each singular vector the classes that it serves on its side 1, and those on its side −1.
PLANTED = [({0, 1, 2, 3}, set()), ({0, 1}, {2}), ({0}, set()), ({0, 1}, set()), (set(), {2, 3})]


def planted(n_per_class=20, small=0.1):
    """Signals of known vectors for known classes."""
    labels = torch.arange(4 * n_per_class) % 4
    values = small * torch.randn(len(labels), len(PLANTED), generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    for vector, (plus, minus) in enumerate(PLANTED):
        for c in plus:
            values[labels == c, vector] += 5.0
        for c in minus:
            values[labels == c, vector] -= 5.0
    return make_signals(values), labels


def test_planted_signals_give_the_planted_hierarchy():
    signals, labels = planted()
    share = 12 / (4 * 2 * len(PLANTED))  # 12 of 40 pairs of a class and a node
    found = hierarchy(significance(signals, 1 - share), labels, names=["a", "b", "c", "d"])
    expected = {}
    for vector, (plus, minus) in enumerate(PLANTED):
        for side, classes in ((1, plus), (-1, minus)):
            if classes:
                names = frozenset("abcd"[c] for c in classes)
                expected.setdefault(names, set()).add((vector, side))
    sets = [frozenset(found.class_names[c] for c in each.classes) for each in found.equivalence]
    groups = [{found.nodes[k] for k in each.nodes} for each in found.equivalence]
    assert dict(zip(sets, groups)) == expected
    top, ab, cd, a, c = (frozenset(names) for names in ("abcd", "ab", "cd", "a", "c"))
    assert {(sets[i], sets[j]) for i, j in found.hasse} == {(top, ab), (top, cd), (ab, a), (cd, c)}
    assert found.order == {(sets.index(i), sets.index(j)) for i in sets for j in sets if i > j}
    assert found.sizes == HierarchySizes(6, 5, 3)
    assert [each.level for each in found.equivalence] == [1, 2, 2, 3, 3]
    assert found.undecided == 0
    assert all(each.is_decided for each in found.equivalence)
    assert set(found.verdict.unique().tolist()) == {-1, 1}
    assert found.hypergraph()["d"] == ("v0+", "v4−")
    graph = found.to_networkx()
    assert set(graph.edges) == set(found.hasse)
    assert graph.nodes[0] == {"vectors": ("v0+",), "classes": ("a", "b", "c", "d"), "level": 1, "is_decided": True}
    assert networkx.dag_longest_path_length(graph) == 2
    assert '0 [label="v0+ (1)\\na, b, c, d", style=solid];' in found.to_dot()
    assert found.to_dot().count("->") == len(found.hasse)


def test_few_images_leave_memberships_undecided():
    signals, labels = class_signals(n_per_class=8)
    found = hierarchy(significance(signals, 0.8), labels)
    assert not any(each.is_decided for each in found.equivalence)  # 8 of 8 have an interval from 0.68
    assert (found.verdict[found.incidence] == 0).all()
    assert found.undecided >= found.memberships
    assert "dashed" in found.to_dot()
    assert found.table().count("undecided") == len(found.equivalence)


def test_images_as_hyperedges_have_exact_memberships():
    signals, _ = class_signals()
    made = significance(signals, 0.5)
    found = image_hierarchy(made, [4, 0, 7])
    assert found.class_names == ("4", "0", "7")
    shared = made.significant[[4, 0, 7]].all(0)
    nodes = {made.nodes[k] for k in shared.nonzero()[:, 0].tolist()}
    assert {found.nodes[k] for k in found.equivalence[0].nodes} == nodes
    assert found.undecided == 0
    with pytest.raises(ValueError, match="null: a hierarchy of images has no classes"):
        found.null()
    with pytest.raises(ValueError, match="images: must be different ones"):
        image_hierarchy(made, [0, 0])
    for wrong in (3, [1.5], [180], []):
        with pytest.raises(ValueError, match="^images: .*give whole numbers from 0 to 179"):
            image_hierarchy(made, wrong)


def test_edge_cases_give_a_value():
    signals, labels = class_signals(n_per_class=30)
    made = significance(signals, 0.8)
    one = hierarchy(made, torch.zeros_like(labels), p=0.2)
    assert one.class_names == ("0",)
    assert one.depth == len(one.equivalence) == 1
    assert hierarchy(significance(signals, 1.0), labels).sizes == HierarchySizes(0, 0, 0)
    everywhere = make_signals(torch.ones(12, 3).cumsum(0))
    found = hierarchy(significance(everywhere, 0.0, "layer", "one"), [0] * 6 + [1] * 6, p=0.5)
    assert found.sizes == HierarchySizes(3, 1, 1)
    single = labels.clone()
    single[0] = 9
    assert hierarchy(made, single).class_counts[-1] == 1
    assert hierarchy(made, single).null(3).permuted.shape == (3, 3)
    assert hierarchy(made, labels.numpy()).equivalence == hierarchy(made, labels).equivalence
    some = hierarchy(made, labels.where(labels != 2, -1))
    assert some.class_names == ("0", "1", "3", "4", "5")
    assert torch.equal(some.shares, hierarchy(made, labels).shares[[0, 1, 3, 4, 5]][:, _positions(some, made, labels)])


def _positions(some, made, labels):
    nodes = hierarchy(made, labels).nodes
    return [nodes.index(node) for node in some.nodes]


def test_wrong_arguments_are_named():
    signals, labels = class_signals()
    made = significance(signals)
    for match, changes in {
        r"p: must be a number above 0 and at most 1, found 0": {"p": 0},
        "confidence: must be a number above 0": {"confidence": 1.0},
        "classes: must have one class for each of the 180 images, found 3": {"classes": [0, 1, 2]},
        r"classes: must be whole numbers from 0 or words, .* found 1\.5": {"classes": [1.5] * 180},
        "classes: no image has a class": {"classes": [-1] * 180},
        "names: must have a name for every class, found 2 for class 2": {"names": ["a", "b"]},
        "significance: must be of type Significance": {"significance": signals},
    }.items():
        with pytest.raises(ValueError, match=match):
            hierarchy(**({"significance": made, "classes": labels} | changes))


@pytest.mark.parametrize(
    "wrong", [3, "cat", {0: 1}, torch.eye(180).long(), torch.zeros(180), [-100] + [0] * 179, [None] * 180]
)
def test_classes_that_are_none_for_each_image_are_refused(wrong):
    signals, _ = class_signals()
    with pytest.raises(ValueError, match="^classes: must be"):
        hierarchy(significance(signals), wrong)


@pytest.mark.parametrize("wrong", [3, "abcdef", ["a", "b", "c", "d", "e", "a"]])
def test_names_that_do_not_tell_classes_apart_are_refused(wrong):
    signals, labels = class_signals()
    with pytest.raises(ValueError, match="^names: must be a list of different names"):
        hierarchy(significance(signals), labels, names=wrong)
