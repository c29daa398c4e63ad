"""The pages "Text" and "HParams" of TensorBoard with two runs, in a headless browser."""

import pytest
from browser import load_screenshots
from lightning.pytorch import loggers
from observations import MEASUREMENTS, RANKS, make_observation

from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.hparams import table_columns, write_hparams
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.results.findings import StopAdvice

screenshots = load_screenshots()

CONSISTENCY = [2.3, *[2.0 - 0.1 * k for k in range(10)], *[1.5 + 0.05 * k for k in range(6)]]


def write_run(folder, lr):
    logger = loggers.TensorBoardLogger(folder, name="runs")
    scalars = LabelFreeStopping().scalars
    write_hparams(logger, {"lr": lr}, table_columns(MEASUREMENTS, RANKS, extra_scalars=scalars))
    logger.log_hyperparams({"lr": lr})
    sink = LoggerSink(
        [logger],
        MEASUREMENTS,
        options=TensorBoardOptions(figures_every_n=0),
        extra_scalars=scalars,
        advice=lambda: StopAdvice("LabelFreeStopping", 10, 16),
    )
    for epoch, value in enumerate(CONSISTENCY):
        sink.write(make_observation(epoch, step=max(0, 19 * epoch - 1), consistency=value))
        logger.log_metrics({"factorlens/stop_best_epoch": min(epoch, 10)}, max(0, 19 * epoch - 1))
    sink.close()
    logger.experiment.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for lr in (0.1, 0.2):
        write_run(folder, lr)
    with screenshots.tensorboard(folder / "runs") as url, screenshots.browser() as page:
        page.url_of_tensorboard = url
        yield page


def cards(page):
    """Waits for the cards of the page "Text", from top to bottom; each has its title, its top and its text."""
    screenshots.show(page, page.url_of_tensorboard, "text")

    def shown():
        found = []
        for card in page.locator("tf-text-loader").all():
            title = card.locator("tf-card-heading figcaption").first.inner_text()
            text = "".join(card.locator("tf-markdown-view #markdown").all_inner_texts())
            found.append((card.bounding_box()["y"], title, text))
        return found if len(found) == 3 and all(text for _, _, text in found) else []

    return sorted(screenshots.until(page, shown))


def test_the_results_of_all_runs_come_first_and_the_help_is_there_once(page):
    shown = cards(page)
    titles = [title for _, title, _ in shown]
    assert ["factorlens/result" in title for title in titles] == [True, True, False]
    assert "factorlens_usage/how_to_read" in titles[2]
    assert shown[0][0] < 400  # on the first screen


def test_the_result_answers_in_words_and_marks_capped_ranks(page):
    text = cards(page)[0][2]
    assert "Memorising? likely, or over-confident" in text
    assert "When to stop? epoch 10" in text
    assert "best, epoch 10" in text
    assert "since 1.1 at epoch 10 (step 189)" in text
    assert text.count("> 32") == 3


def test_no_tag_is_broken_within_a_word(page):
    cards(page)
    count_lines = "all => all.map(code => [code.textContent, code.getClientRects().length])"
    # TensorBoard itself puts every text into a table of one cell
    of_tables = page.locator("tf-text-loader table table code").evaluate_all(count_lines)
    assert len(of_tables) == 12
    assert [tag for tag, lines in of_tables if lines > 1] == []
    of_lists = page.locator("tf-text-loader li code").evaluate_all(count_lines)
    assert len(of_lists) > 40
    assert [tag for tag, lines in of_lists if lines > 1 and "/" not in tag] == []


def test_the_table_of_runs_has_the_best_values_with_their_epoch(page):
    screenshots.show(page, page.url_of_tensorboard, "hparams")
    page.wait_for_selector("vaadin-grid")
    for title in ("best epoch", "best consistency", "stop best epoch"):
        page.wait_for_selector(f"vaadin-grid >> text={title}")

    def filled():
        text = page.locator("vaadin-grid").inner_text()
        return text if text.count("10.000") >= 4 else ""  # the cells are filled after the titles

    grid = screenshots.until(page, filled)
    assert "hp_metric" not in page.locator("body").inner_text()
    assert grid.count("10.000") == 4  # of both runs the best epoch, and that of the stopping rule
    assert grid.count("1.1000") == 2
