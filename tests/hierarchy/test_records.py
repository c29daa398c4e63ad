from made_signals import class_signals
from records import flatten, strict_json

from lightning_factorlens.hierarchy import (
    class_share,
    hierarchy,
    hierarchy_report,
    seed_agreement,
    semantic_structure,
    significance,
)
from lightning_factorlens.results import LayerHierarchies, LayerHierarchy, Observation
from lightning_factorlens.results.serialization import from_json, to_json


def test_every_record_is_restored_from_json():
    signals, labels = class_signals()
    found = hierarchy(significance(signals, 0.8), labels)
    records = {
        "hierarchy": found.record,
        "null": found.null(5),
        "stability": found.stability(5),
        "report": hierarchy_report(found, signals, [signals], 5, 5),
        "share": class_share(signals, labels, 5),
        "structure": semantic_structure(signals, labels, {c: "ab"[c % 2] for c in range(6)}),
        "seeds": seed_agreement([found, found]),
    }
    measured = LayerHierarchies((LayerHierarchy("conv", *(0.5 * k for k in range(9))),), 6)
    line = to_json(Observation(1, 10, {**records, "semantic_hierarchy": measured}))
    strict_json(line)
    restored = from_json(line)
    assert restored["semantic_hierarchy"] == measured
    for name, record in records.items():
        assert type(restored[name]) is type(record)
        assert flatten(restored[name]) == flatten(record)
        assert restored[name].summary() == record.summary()
        assert list(restored[name].values()) == list(record.values())
    assert restored["hierarchy"].table() == found.table()
    assert [value.quantity for value in found.record.values()] == [
        "significant_nodes", "vector_classes", "hierarchy_depth", "undecided_memberships",
    ]  # fmt: skip
