"""The observations of a run in memory, in checkpoints, and after a resume."""

import copy
import io
import pickle
from dataclasses import dataclass, replace

import pytest
import torch
from observations import make_observation, power_law, rank_curve

from lightning_factorlens.loggers.run_summary import run_summary
from lightning_factorlens.loggers.tables import run_table
from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.plots import alpha_figure, history_figure
from lightning_factorlens.results import AlphaSummary, History, Record, Scalars
from lightning_factorlens.results import history as history_module
from lightning_factorlens.results.history import LINES_PER_CHUNK, MAX_HISTORY, MAX_NUMBERS
from lightning_factorlens.results.serialization import to_json

LAYERS = [f"stage{i // 10}.block{i % 10}.conv.weight" for i in range(60)]


def large_observation(epoch):
    """An observation of as many layers as a ResNet-50 has."""
    generator = torch.Generator().manual_seed(epoch)
    noise = iter((1 + 0.01 * torch.rand(500, generator=generator)).double().tolist())
    curves = {}
    for scope in ("total", "inputs", "activations", *LAYERS[:20]):
        curves[scope] = rank_curve(0.8 * next(noise), 0.6 * next(noise))
    spectra = tuple(power_law(name, 3 * next(noise)) for name in LAYERS)
    return make_observation(
        epoch,
        curves=curves,
        svd_curves=curves,
        effective_rank=dict.fromkeys(curves, 20 * next(noise)),
        rms=dict.fromkeys(curves, next(noise)),
        consistency=0.5 * next(noise),
        spectra=spectra,
        alpha=AlphaSummary(3 * next(noise), 7.5, 2.25, 0.75, 60, 0),
    )


def through_a_file(history, record_types=None):
    file = io.BytesIO()
    torch.save(history.state_dict(), file)
    file.seek(0)
    return History.from_state_dict(torch.load(file, weights_only=True), record_types)


@pytest.fixture(scope="module")
def large():
    return History(large_observation(epoch) for epoch in range(2 * LINES_PER_CHUNK + 3))


def test_a_history_is_a_sequence_of_observations_without_tensors():
    history = History([make_observation(0), make_observation(1)])
    assert [o.epoch for o in history] == [0, 1]
    assert [o.epoch for o in history[:-1]] == [0]
    assert history[-1].inputs is None
    assert history[-1].factorization is None
    assert repr(history) == repr(list(history))


def test_an_observation_of_few_numbers_is_restored_bit_for_bit():
    small = [replace(make_observation(epoch), records={"a": Scalars({"x": epoch / 3})}) for epoch in range(25)]
    resumed = through_a_file(History(small))
    assert len(resumed) == 25
    assert [to_json(o) for o in resumed] == [to_json(o.without_tensors()) for o in small]


def test_figures_and_tables_of_a_resumed_run_are_those_of_the_run_itself(large):
    resumed = through_a_file(large)
    assert sum(1 for _ in large[0].values()) > MAX_NUMBERS
    measurements = default_measurements()
    assert run_summary(resumed, measurements) == run_summary(large, measurements)
    assert run_table(resumed, measurements) == run_table(large, measurements)
    present = large_observation(len(large))
    for figure in (history_figure, alpha_figure):
        drawn = lines_of(figure([*resumed, present]))
        assert drawn == lines_of(figure([*large, present]))
        assert len(drawn) > 2


def lines_of(figure):
    """The data of every line by axis and id, as text in which NaN equals NaN."""
    lines = {}
    for index, ax in enumerate(figure.axes):
        for line in ax.get_lines():
            lines[index, line.get_gid()] = repr(line.get_xydata().tolist())
    return lines


def test_condensed_records_keep_their_types_and_what_concerns_the_whole_network(large):
    before, after = large[-1], through_a_file(large)[-1]
    assert {n: type(r) for n, r in after.records.items()} == {n: type(r) for n, r in before.records.items()}
    for name in ("consistency", "required_rank", "cost"):
        assert after[name] == before[name]
    assert after["reconstruction_error"]["total"] == before["reconstruction_error"]["total"]
    assert set(after["svd_error"].curves) == {"total", "inputs", "activations"}
    assert after["effective_rank"]["total"] == before["effective_rank"]["total"]
    assert after["weight_spectra"].summary == before["weight_spectra"].summary
    assert after["weight_spectra"].exponents() == before["weight_spectra"].exponents()
    assert after.value("alpha", LAYERS[7]) == before.value("alpha", LAYERS[7])
    assert after.value("lambda_max", LAYERS[7]) is None
    assert after.epoch == before.epoch and after.step == before.step and after.notes == before.notes


def test_five_hundred_observations_of_a_large_network_add_less_than_two_mebibytes():
    history = History()
    distinct = [large_observation(epoch) for epoch in range(30)]
    for k in range(MAX_HISTORY):
        history.append(distinct[k % 30])
    file = io.BytesIO()
    torch.save(history.state_dict(), file)
    assert file.tell() < 2 * 2**20
    assert len(history[0].records["weight_spectra"].layers) == len(LAYERS)  # in memory everything is kept


def test_nothing_is_read_when_a_checkpoint_is_loaded_or_saved_again(large, monkeypatch):
    resumed = through_a_file(large)
    with monkeypatch.context() as patch:
        patch.setattr(history_module, "from_json", lambda *_: pytest.fail("read"))
        assert len(resumed) == len(large)
        resumed.append(large_observation(99))
        again = through_a_file(resumed)
    assert [o.epoch for o in again] == [o.epoch for o in resumed] == [*range(len(large)), 99]


def test_a_checkpoint_keeps_the_last_observations(monkeypatch):
    monkeypatch.setattr(history_module, "MAX_HISTORY", 25)
    small = [replace(make_observation(epoch), records={"a": Scalars({"x": 1.0})}) for epoch in range(47)]
    resumed = through_a_file(History(small))
    assert len(resumed) == 25
    assert [o.epoch for o in resumed] == list(range(22, 47))
    assert sum(resumed.state_dict()["lengths"]) < 25 + LINES_PER_CHUNK


def test_what_cannot_be_read_is_reported_once_and_left_out(large):
    state = copy.deepcopy(large.state_dict())
    state["chunks"][0] = state["chunks"][0][:20]
    broken = History.from_state_dict(state)
    broken.append(make_observation(7))
    with pytest.raises(Exception, match="incomplete"):
        list(broken)
    assert [o.epoch for o in broken] == [7]


@pytest.mark.parametrize("state", [{"chunks": ["{}"], "lengths": [1]}, {"chunks": [], "lengths": [1]}])
def test_a_state_of_another_form_is_refused(state):
    with pytest.raises(ValueError, match="history: found a state of another form"):
        History.from_state_dict(state)
    with pytest.raises((KeyError, TypeError)):
        History.from_state_dict([])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_history_can_be_copied_and_pickled(large, copied, is_resumed):
    history = through_a_file(large) if is_resumed else large
    copy_of_it = copied(history)
    copy_of_it.append(make_observation(99))
    assert [o.epoch for o in copy_of_it] == [*[o.epoch for o in large], 99]


@dataclass(frozen=True)
class Drift(Record):
    """A record of the user's own."""

    mean: float


def test_records_of_the_users_own_class_are_restored_as_that_class():
    history = History([replace(large_observation(0), records={**large_observation(0).records, "drift": Drift(0.5)})])
    assert through_a_file(history, {"drift": Drift})[0]["drift"] == Drift(0.5)
    assert through_a_file(history)[0]["drift"] == Scalars({"mean": 0.5})
