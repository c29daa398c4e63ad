"""Suppresses what weightwatcher writes: warnings, prints and log records."""

import contextlib
import io
import logging
import warnings


@contextlib.contextmanager
def silence():
    logging.disable(logging.CRITICAL)
    out = contextlib.redirect_stdout(io.StringIO())
    err = contextlib.redirect_stderr(io.StringIO())
    try:
        with warnings.catch_warnings(), out, err:
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
