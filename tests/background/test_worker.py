"""The thread beside the training."""

import copy
import gc
import os
import pickle
import sys
import threading
import time
import weakref

import pytest
import torch

from lightning_factorlens.background.worker import SWITCH_INTERVAL, BackgroundWorker


def test_work_is_done_in_order_on_one_other_thread(worker):
    done = []
    tasks = [worker.submit(lambda n=n: done.append((n, threading.get_ident()))) for n in range(5)]
    tasks[-1].result()
    assert [n for n, _ in done] == list(range(5))
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] != threading.get_ident()


def test_an_error_is_raised_where_the_result_is_read_and_later_work_is_done(worker):
    failing = worker.submit(lambda: 1 / 0)
    assert worker.submit(lambda: "next").result() == "next"
    with pytest.raises(ZeroDivisionError):
        failing.result()


def test_the_thread_uses_one_thread_of_torch_and_changes_no_other():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        worker = BackgroundWorker()
        later = []
        assert worker.submit(torch.get_num_threads).result() == 1
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert (torch.get_num_threads(), later) == (3, [3])
        worker.close()
    finally:
        torch.set_num_threads(before)


def test_threads_take_turns_faster_only_while_there_is_work(worker):
    before = sys.getswitchinterval()
    assert worker.submit(sys.getswitchinterval).result() == pytest.approx(SWITCH_INTERVAL, rel=0.1)  # whole µs
    worker.close()
    assert sys.getswitchinterval() == before


def test_the_result_and_the_work_are_released(worker):
    class Large:
        pass

    held = Large()
    kept = weakref.ref(held)
    task = worker.submit(lambda held=held: id(held))
    task.result()
    del held
    worker.submit(lambda: None).result()  # the thread has left the first work
    gc.collect()
    assert kept() is None


def test_processor_seconds_are_those_of_the_work(worker):
    def burn():
        start = time.thread_time()
        while time.thread_time() - start < 0.02:
            pass

    burned, waited = worker.submit(burn), worker.submit(lambda: threading.Event().wait(0.05))
    waited.result()
    assert burned.seconds >= 0.02
    assert waited.seconds < 0.05


def test_a_closed_worker_starts_again_and_a_copy_has_a_thread_of_its_own(worker):
    worker.submit(lambda: None).result()
    for other in (copy.deepcopy(worker), pickle.loads(pickle.dumps(worker))):
        assert other.submit(threading.get_ident).result() != worker.submit(threading.get_ident).result()
        other.close()
    worker.close()
    assert worker.submit(lambda: 1).result() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_does_not_wait_for_a_thread_that_it_does_not_have(worker):
    release = threading.Event()
    task = worker.submit(release.wait)
    child = os.fork()
    if child == 0:
        try:
            task.result()
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    release.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
