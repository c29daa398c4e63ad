"""weightwatcher talks through warnings, prints and logs; the tests need not hear it."""

import contextlib
import io
import logging
import warnings


@contextlib.contextmanager
def quiet():
    logging.disable(logging.CRITICAL)
    out, err = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    try:
        with warnings.catch_warnings(), out, err:
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
