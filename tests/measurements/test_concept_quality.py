"""Concepts in a run: the scalars are those of the offline call, with a cadence, through resumes and several processes."""

import math

import pytest
import torch
from small_lens import lens_with, make_net, make_probe, train_a_little
from torch import nn
from worker_processes import run_in_processes

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.concepts import agreement, clarity
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.linalg.matching import match_rows
from lightning_factorlens.loggers.figure_schedule import FigureSchedule, numbered_figures
from lightning_factorlens.measurements import ConceptQuality
from lightning_factorlens.results import LayerPanel
from lightning_factorlens.results.serialization import from_json, to_json
from lightning_factorlens.run_state import RunState


def observe_run(lens, n, probe=None):
    """Observations of a network that changes a little between them."""
    found = []
    for epoch in range(n):
        found.append(lens.observe(make_probe(40) if probe is None else probe, epoch=epoch, step=epoch))
        train_a_little(lens.model, epoch)
    return found


def test_the_scalars_are_those_of_the_concepts_found_offline():
    lens = lens_with(ConceptQuality(rank=3))
    first, second = observe_run(lens, 2)
    offline = FactorLens(make_net(), outputs="classes").concepts(make_probe(40), rank=3)
    record = first["concept_quality"]
    assert record.clarities == pytest.approx(clarity(offline).tolist())
    assert record.agreements == pytest.approx(agreement(offline).tolist())
    assert record.stability is None
    assert [card.number for card in record.page.cards] == clarity(offline).argsort(descending=True).tolist()
    _, cosine = match_rows(lens.state.warm_start.states["concept_quality"]["F"], offline.F)
    assert sorted(second["concept_quality"].changes.cosine) == pytest.approx(sorted(cosine.tolist()))
    assert second["concept_quality"].stability == pytest.approx(float(cosine.median()))


@pytest.mark.rasterized
def test_concepts_are_found_at_every_nth_observation_and_drawn_at_the_next_figures():
    measurement = ConceptQuality(rank=3, every=3)
    observations = observe_run(lens_with(measurement), 6)
    assert ["concept_quality" in o for o in observations] == [True, False, False] * 2
    schedule = FigureSchedule(numbered_figures([measurement]), every_n=5)
    drawings = [schedule.add(o) for o in observations]
    drawn = [None if drawing is None else drawing() for drawing in drawings]
    names = ["1_concepts", "2_concept_card", "3_concept_similarity", "4_concept_timeline"]
    assert list(drawn[0]) == names[:3]
    assert list(drawn[5]) == names
    assert drawn[0]["1_concepts"].shape[1] == 700
    resampled = lens_with(measurement)
    found = []
    for k in range(4):
        resampled.state.update_probe("other samples")
        found.append(len(resampled.observe(make_probe(40) + k).records))
    assert found == [2, 1, 1, 2]


def test_a_resumed_run_goes_on_with_the_same_concepts(tmp_path):
    lens = lens_with(ConceptQuality(rank=3, every=2))
    observe_run(lens, 2)
    torch.save(lens.state.state_dict(), tmp_path / "state.pt")
    resumed = lens_with(ConceptQuality(rank=3, every=2), net=lens.model)
    resumed.state = RunState(OverheadBudget()).from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    expected, found = lens.observe(make_probe(40), 2, 2), resumed.observe(make_probe(40), 2, 2)
    assert found["concept_quality"].changes == expected["concept_quality"].changes
    line = to_json(found)
    assert len(line) < 1000
    assert from_json(line)["concept_quality"].changes == found["concept_quality"].changes
    assert lens.state.history[0]["concept_quality"].page is None


@torch.no_grad()
def test_what_cannot_be_found_is_noted():
    dead = make_net()
    for p in dead.parameters():
        p.zero_()
    observation = lens_with(ConceptQuality(rank=3), net=dead).observe(make_probe(40))
    assert "concept_quality" not in observation
    assert observation.notes[0] == "no concept quality: all captured layers are zero, or there is none."
    lens = lens_with(ConceptQuality(rank=30))
    probe = make_probe(12)
    record = lens.observe(probe)["concept_quality"]
    assert len(record.clarities) == 12
    kept = lens.state.warm_start.states["concept_quality"]["F"]
    lens.model.hidden.bias[0] = math.nan
    observation = lens.observe(probe, epoch=1)
    assert "values of block 'relu' are" not in observation.notes[0]
    assert observation.notes[0].endswith("of 768 values of block 'act' are NaN or infinite.")
    assert torch.equal(lens.state.warm_start.states["concept_quality"]["F"], kept)


def test_a_model_without_images_or_classes_has_the_rest():
    model = nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(48, 12), nn.ReLU())
    lens = FactorLens(model, LensOptions(ranks=(1, 2)), [ConceptQuality(rank=3)])
    probe = torch.randint(20, (40, 6), generator=torch.Generator().manual_seed(0))
    record = lens.observe(probe)["concept_quality"]
    assert record.agreement is None
    assert 0 < record.clarity <= 1
    card = record.page.cards[0]
    assert card.pictures is None
    assert all(isinstance(panel, LayerPanel) for panel in card.panels)
    history = [lens.state.history[0], lens.observe(probe, epoch=1)]
    assert all(figure.draw(history) is not None for figure in ConceptQuality.figures)


def observe_in_a_group(group):
    """Two observations by processes of which each holds some features of every layer."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 14, 3), nn.Tanh(), nn.Flatten(), nn.Linear(14 * 26 * 26, 5)
    ).eval()
    options = LensOptions(ranks=(1, 2), max_neurons_per_layer=None, activation_sign_policy="split")
    lens = FactorLens(model, options, [ConceptQuality(rank=3)], process_group=group, outputs="classes")
    images = torch.rand(150, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    found = []
    for step in range(2):
        with group.synchronized_errors():
            found.append(lens.observe(images, epoch=step)["concept_quality"])
        train_a_little(model, step)
    page = found[1].page
    shares = [] if page is None else [panel.share for card in page.cards for panel in card.panels]
    numbers = []
    for record in found:
        numbers += [record.clarities, record.agreements, record.changes.cosine if record.changes else ()]
    return numbers, shares, lens.state.warm_start.states["concept_quality"]["F"]


@pytest.mark.slow
@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    numbers, shares, F = observe_in_a_group(SingleProcess())
    first, second = run_in_processes(observe_in_a_group, 2, tmp_path)
    assert first[0] == second[0]
    assert torch.equal(first[2], second[2])
    assert torch.allclose(first[2], F, atol=1e-5)
    for found, expected in zip(first[0], numbers):
        assert found == pytest.approx(expected, abs=1e-4)
    assert first[1] == pytest.approx(shares, abs=1e-4)
    assert second[1] == []
