import logging
import warnings

import pytest


@pytest.fixture
def quiet():
    """Silences lightning's log and all warnings."""
    level = logging.getLogger("lightning.pytorch").level
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.getLogger("lightning.pytorch").setLevel(level)
