"""The line while a measurement takes long, in real progress bars, and the table at the end of a run."""

import re
import time
from types import SimpleNamespace

import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar
from torch import nn

from lightning_factorlens.callbacks._progress import DrawProgress, ProgressLine
from lightning_factorlens.loggers.tables import run_table


class Slow(LightningModule):
    """A network whose forward pass is slow in evaluation mode only, which makes measurements slow."""

    def __init__(self, seconds):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        self.seconds = seconds

    def forward(self, x):
        if not self.training:
            time.sleep(self.seconds)
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return self(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(bar, seconds=0.05, delay=0.04, verbose=True, monkeypatch=None, error_thresholds=(0.5, 0.3), **options):
    monkeypatch.setattr(ProgressLine, "DELAY_SECONDS", delay)
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    lens = make_callback(
        probe=images,
        probe_size=16,
        ranks=(1, 2),
        fit_power_law=False,
        verbose=verbose,
        on_error="raise",
        outputs="classes",
        error_thresholds=error_thresholds,
    )
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, callbacks=[lens, *([bar] if bar else [])],
        enable_progress_bar=bar is not None, enable_model_summary=False, enable_checkpointing=False, **options,
    )  # fmt: skip
    trainer.fit(Slow(seconds), torch.utils.data.DataLoader(images, 8))
    return lens


def test_tqdm_shows_a_slow_measurement_and_its_result(monkeypatch, capsys):
    fit(TQDMProgressBar(), monkeypatch=monkeypatch)
    out = "".join(capsys.readouterr())
    for epoch in (1, 2):
        first = out.index(f"FactorLens observes, epoch {epoch} ...")
        assert out.index(f"FactorLens: epoch {epoch} | consistency") > first
    assert "2/2" in out  # the bar itself is complete


def test_rich_shows_a_slow_measurement_too(monkeypatch, capsys):
    pytest.importorskip("rich", reason="rich is not installed: pip install rich")
    fit(RichProgressBar(), monkeypatch=monkeypatch)
    out = "".join(capsys.readouterr())
    assert "FactorLens observes, epoch 2 ..." in out
    assert "FactorLens: epoch 2 |" in out
    assert "2/2" in out


class CustomBar(ProgressBar):
    """A user's progress bar, which records the printed lines."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def disable(self):
        self.lines.append("disabled")

    def print(self, *args, **_):
        self.lines.append(args[0])


def test_a_fast_measurement_prints_nothing(monkeypatch):
    bar = CustomBar()
    lens = fit(bar, seconds=0.0, delay=60.0, monkeypatch=monkeypatch)
    assert bar.lines == [] and len(lens.history) == 3


def test_verbose_false_silences_the_line_and_the_table(monkeypatch, caplog):
    loud, silent = CustomBar(), CustomBar()
    with caplog.at_level("INFO"):
        fit(silent, verbose=False, monkeypatch=monkeypatch)
        assert "FactorLens" not in caplog.text
        fit(loud, monkeypatch=monkeypatch)
    assert silent.lines == [] and len(loud.lines) == 6
    assert re.search(r"FactorLens, summary of the run \(best: .*default rule on \w+", caplog.text)


def test_a_run_without_a_progress_bar_continues(monkeypatch):
    assert len(fit(None, monkeypatch=monkeypatch).history) == 3


def test_a_bar_that_cannot_print_does_not_disturb_the_run(monkeypatch):
    class Failing(CustomBar):
        def print(self, *args, **_):
            self.lines.append("called")
            raise OSError("no terminal")

    bar = Failing()
    assert len(fit(bar, monkeypatch=monkeypatch).history) == 3
    assert bar.lines == ["called"] * 6


@pytest.mark.parametrize(("first", "disabled"), [(False, False), (True, True)])
def test_other_ranks_and_disabled_bars_print_nothing(first, disabled, monkeypatch):
    monkeypatch.setattr(ProgressLine, "DELAY_SECONDS", 0.0)
    bar = CustomBar()
    bar.is_disabled = disabled
    trainer = SimpleNamespace(progress_bar_callback=bar, is_global_zero=first)
    for expected in ([], ["measuring", "done"]):
        with ProgressLine(trainer, "measuring") as line:
            time.sleep(0.05)
        line.finish(lambda: "done")
        assert bar.lines == expected
        trainer.is_global_zero, bar.is_disabled = True, False


@pytest.mark.parametrize("bar", [None, TQDMProgressBar])
def test_a_slow_draw_shows_how_many_samples_it_has(bar, monkeypatch, capsys):
    monkeypatch.setattr(ProgressLine, "DELAY_SECONDS", 0.01)
    monkeypatch.setattr(DrawProgress, "EVERY_SECONDS", 0.0)
    shown = CustomBar() if bar is None else bar()  # one of tqdm has no open bar before the first epoch
    trainer = SimpleNamespace(progress_bar_callback=shown, is_global_zero=True)
    with DrawProgress(trainer) as progress:
        time.sleep(0.1)
        progress.update(96, 256)
    lines = shown.lines if bar is None else capsys.readouterr().out.splitlines()
    assert lines == ["FactorLens draws the probe: ...", "FactorLens draws the probe: 96 of 256 samples"]


def test_the_closing_table_is_short_aligned_and_correct(monkeypatch, caplog):
    with caplog.at_level("INFO"):
        lens = fit(None, monkeypatch=monkeypatch)
    (text,) = [r.getMessage() for r in caplog.records if "FactorLens, summary of the run" in r.getMessage()]
    lines = text.splitlines()
    assert len(lines) <= 12
    assert lines[-1].startswith("FactorLens: 3 observations in ") and "of the time" in lines[-1]
    assert [line.partition("?")[0] for line in lines[1:4]] == ["Still learning", "Memorising", "When to stop"]
    table = lines[4:-1]
    assert len({len(line) for line in table if not line.startswith("factorlens_spectra/mean_alpha")}) == 1
    pattern = r"first, epoch 0 \(step 0\) +best, epoch (\d) \(step \d+\) +last, epoch 2 \(step \d+\)"
    best = int(re.search(pattern, table[0])[1])
    values = [observation["consistency"]["consistency"] for observation in lens.history]
    row = next(line for line in lines if line.startswith("factorlens/consistency")).split()
    assert row[1:] == [f"{value:.4g}" for value in (values[0], values[best], values[-1])]


def test_many_thresholds_leave_the_table_within_eight_lines(monkeypatch):
    thresholds = tuple(0.05 * (k + 1) for k in range(12))
    lens = fit(None, monkeypatch=monkeypatch, error_thresholds=thresholds)
    lines = run_table(lens.history, lens.measurements).splitlines()
    assert len(lines) == 8
    assert [line.split()[0] for line in lines[-2:]] == ["factorlens/effective_rank", "factorlens/rel_error/rank_2"]
