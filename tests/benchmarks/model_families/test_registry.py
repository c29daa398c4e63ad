"""The declared families: all of torchvision's, a dozen of other libraries, and the choice by the command line."""

import pytest

from benchmarks.model_families.registry import FAMILIES, chosen_families
from benchmarks.model_families.training import make_lens

#: Packages below torchvision.models that are no tasks of the list: int8 copies of others, and optical flow.
OTHER_TASKS = ("torchvision.models.quantization.", "torchvision.models.optical_flow.")


def test_every_module_of_torchvision_that_defines_models_has_a_family():
    models = pytest.importorskip("torchvision.models")
    defined = set()
    for name in models.list_models():
        module = models.get_model_builder(name).__module__
        if not module.startswith(OTHER_TASKS):
            defined.add(module)
    represented = set()
    for family in FAMILIES.values():
        if family.name.startswith("torchvision."):
            builder = family.model.partition("(")[0]
            represented.add(models.get_model_builder(builder).__module__)
    assert represented == defined


def test_other_libraries_have_at_least_a_dozen_families():
    for library in ("timm.", "transformers.", "torch_geometric."):
        assert sum(name.startswith(library) for name in FAMILIES) >= 5
    assert sum(not name.startswith("torchvision.") for name in FAMILIES) >= 12


def test_every_declared_argument_is_one_that_the_callback_takes():
    for family in FAMILIES.values():
        make_lens(family.argument)


def test_families_are_chosen_by_name_last_part_or_beginning():
    assert [family.name for family in chosen_families(["ssd"])] == ["torchvision.detection.ssd"]
    assert [family.name for family in chosen_families(["transformers.text.bert"])] == ["transformers.text.bert"]
    names = [family.name for family in chosen_families(prefix="torchvision.segmentation")]
    assert names == [f"torchvision.segmentation.{name}" for name in ("deeplabv3", "fcn", "lraspp")]
    assert [family.name for family in chosen_families(["resnet"], "timm")] == ["timm.classification.resnet"]
    assert len(chosen_families()) == len(FAMILIES)


@pytest.mark.parametrize(("only", "prefix"), [(["ssd", "nothing"], ""), ([], "torchvision.audio")])
def test_an_unknown_name_is_refused_with_the_names_that_there_are(only, prefix):
    with pytest.raises(ValueError, match=r"found no family (nothing|torchvision\.audio); there are: torchvision"):
        chosen_families(only, prefix)
