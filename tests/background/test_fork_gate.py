"""Forks and units of background work."""

import builtins
import os
import threading

import pytest
import torch

from lightning_factorlens.background.fork_gate import fork_gate
from lightning_factorlens.spectra import layer_spectra

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def test_a_fork_waits_for_the_end_of_a_unit_of_another_thread():
    order = []
    has_begun, may_end = threading.Event(), threading.Event()

    def work():
        with fork_gate.unit():
            has_begun.set()
            may_end.wait()
            order.append("unit")

    def fork_then_note():
        fork()
        order.append("fork")

    threads = [threading.Thread(target=work), threading.Thread(target=fork_then_note)]
    threads[0].start()
    has_begun.wait()
    threads[1].start()
    may_end.set()
    for thread in threads:
        thread.join()
    assert order == ["unit", "fork"]


def test_a_thread_may_fork_within_its_own_unit_and_units_begin_again():
    with fork_gate.unit():
        fork()
    done = []
    thread = threading.Thread(target=lambda: [fork_gate.unit().__enter__(), done.append(1)])
    thread.start()
    thread.join(10)
    assert done == [1]
    fork_gate._working.clear()


def test_what_computing_spectra_imports_is_imported_in_units(monkeypatch):
    original = builtins.__import__
    imports = []

    def watch(name, *args, **kwargs):
        imports.append((name, threading.get_ident() in fork_gate._working))
        return original(name, *args, **kwargs)

    model = torch.nn.Linear(600, 300)
    layer_spectra(model)  # torch and numpy import parts of themselves at the first call
    monkeypatch.setattr(builtins, "__import__", watch)
    layer_spectra(model)
    monkeypatch.undo()
    of_scipy = [is_unit for name, is_unit in imports if name.startswith("scipy")]
    assert of_scipy and all(of_scipy)
