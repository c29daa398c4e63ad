"""What a terminal shows of one observation and of a run."""

from observations import MEASUREMENTS

from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.loggers.tables import MAX_ROWS, cost_line, epoch_line, run_report, run_table
from lightning_factorlens.measurements import Consistency, RankAtError
from lightning_factorlens.results.layer_table import MAX_KEPT


def test_the_line_of_an_observation_has_its_summary_scalars(observe):
    o = observe(0)
    curve = o["reconstruction_error"]["total"]
    error = dict(zip(curve.ranks, curve.rel_error))[8]
    assert epoch_line(o, MEASUREMENTS) == (
        "epoch 0 | consistency 0.4375 | rank_at_30pct 9.25 | rank_at_12p5pct > 32 | effective_rank 20.5 | "
        f"rel_error/rank_8 {error:.4g} | mean_alpha 3 | 1.75 s (6.2 % of the time)"
    )


def test_the_line_leaves_out_what_was_not_measured(observe):
    bare = observe(
        2,
        curves=None,
        consistency=None,
        alpha=None,
        overhead=None,
        seconds={},
        effective_rank={},
        required_ranks=(),
        spectra=(),
    )
    assert epoch_line(bare, MEASUREMENTS) == "epoch 2"
    assert epoch_line(observe(2, overhead=None), [Consistency()]) == "epoch 2 | consistency 0.4375 | 1.75 s"


def test_the_table_of_a_run_is_aligned(observe):
    history = [observe(epoch, consistency=value) for epoch, value in ((0, None), (7, 0.5), (8, 1.0))]
    lines = run_table(history, MEASUREMENTS, "student").splitlines()
    assert lines[0].split("  ")[-3:] == [
        "first, epoch 0 (step 7)",
        "best, epoch 7 (step 707)",
        "last, epoch 8 (step 807)",
    ]
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[2:]}
    assert rows["student/consistency"].split() == ["-", "0.5", "1"]
    assert rows["student/rank_at_12p5pct"].count("> 32") == 3
    assert len({len(line) for line in lines}) == 1


def test_the_cost_of_a_run_is_one_sentence_that_says_where_the_time_went():
    phases = {
        "capture": 0.5,
        "consistency": 0.25,
        "factorization": 1.0,
        "required_rank": 0.25,
        "figures": 0.875,
        "rms": 0,
    }
    budget = OverheadBudget(0.02, total_seconds=3.0, elapsed=200.0, phases=phases)
    assert cost_line(5, 2, 3, budget, MEASUREMENTS) == (
        "FactorLens: 5 observations (2 full) in 3.0 s, 1.5 % of the time: factorisation 1.2 s, figures 0.9 s, "
        "forward passes 0.8 s, other 0.1 s; 3 failed."
    )
    all_full = cost_line(5, 5, 0, OverheadBudget(total_seconds=3.0, elapsed=200.0), MEASUREMENTS)
    assert all_full == "FactorLens: 5 observations in 3.0 s, 1.5 % of the time."


def test_everything_is_ascii_for_any_terminal(observe):
    history = [observe(0, consistency=None), observe(1)]
    assert (run_table(history, MEASUREMENTS) + epoch_line(observe(), MEASUREMENTS)).isascii()


def test_the_table_of_layers_and_the_report_of_a_run_have_at_most_25_lines(observe):
    history = [observe(epoch, consistency=1.0) for epoch in range(3)]
    many = [*MEASUREMENTS[:1], RankAtError((0.9, 0.8, 0.7, 0.6, 0.5, 0.4)), *MEASUREMENTS[2:]]
    lines = run_report(history, many, "factorlens", "FactorLens: 3 observations in 1.0 s.").splitlines()
    assert len(lines) <= MAX_ROWS + 7
    n_lines_of_outputs = 2  # one before training and one after the first training step
    assert (MAX_KEPT + 4) + n_lines_of_outputs + (MAX_ROWS + 7) <= 25
