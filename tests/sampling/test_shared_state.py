"""Reading in another process changes nothing that processes share: memory, mapped files, managers, pipes."""

import multiprocessing
import socket

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_factorlens.sampling import forked_reading
from lightning_factorlens.sampling.probe_batch import draw_batches

pytestmark = pytest.mark.skipif(not forked_reading.can_fork(), reason="shared memory is separated on Linux alone")


class Writing(Dataset):
    """Adds one to the entry of a shared array for each sample that is read."""

    def __init__(self, counts):
        self.counts = counts

    def __len__(self):
        return 20

    def __getitem__(self, i):
        self.counts[i] += 1
        return torch.full((3,), float(self.counts[i]))


def mapped_file(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "counts.npy", mode="w+", dtype=np.float32, shape=(20,))
    array[:] = 1
    return array


SHARED = {
    "multiprocessing.Array": lambda folder: multiprocessing.Array("i", [1] * 20),
    "shared tensor": lambda folder: torch.ones(20).share_memory_(),
    "mapped file": mapped_file,
}


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("kind", SHARED)
def test_shared_memory_is_read_and_stays_as_it_is(kind, num_workers, tmp_path):
    counts = SHARED[kind](tmp_path)
    batches = draw_batches(DataLoader(Writing(counts), batch_size=20, num_workers=num_workers), size=20)
    assert (batches[0].data == 2).all()
    assert [float(count) for count in counts] == [1.0] * 20


def test_a_value_of_a_manager_is_read_and_stays_as_it_is():
    with multiprocessing.Manager() as manager:
        counts = manager.list([1] * 20)
        batches = draw_batches(DataLoader(Writing(counts), batch_size=20), size=20)
        assert (batches[0].data == 2).all()
        assert list(counts) == [1] * 20


class Received(IterableDataset):
    """A stream from another process or machine."""

    def __init__(self, receive):
        self.receive = receive

    def __iter__(self):
        for _ in range(4):
            yield torch.full((3,), float(self.receive()))


def test_no_message_is_taken_from_a_pipe():
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        for k in range(4):
            sender.send(k)
        with pytest.raises(TypeError, match="Received.*use up"):
            draw_batches(DataLoader(Received(receiver.recv)), size=4)
        assert [receiver.recv() for _ in range(4)] == [0, 1, 2, 3]


def test_no_byte_is_taken_from_a_socket():
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.sendall(b"1234")
        with pytest.raises(TypeError, match="Received.*use up"):
            draw_batches(DataLoader(Received(lambda: receiver.recv(1)[0])), size=4)
        assert receiver.recv(4) == b"1234"


def test_no_message_is_taken_from_a_queue_by_workers():
    queue = multiprocessing.SimpleQueue()
    for k in range(4):
        queue.put(k)
    with pytest.raises(TypeError, match="Received.*use up"):
        draw_batches(DataLoader(Received(queue.get), num_workers=1), size=4)
    assert [queue.get() for _ in range(4)] == [0, 1, 2, 3]


def test_a_queue_of_a_manager_is_not_read():
    with multiprocessing.Manager() as manager:
        queue = manager.Queue()
        queue.put(7)
        with pytest.raises(TypeError, match="Received.*use up"):
            draw_batches(DataLoader(Received(queue.get)), size=4)
        assert queue.get(timeout=10) == 7


class Asking(Dataset):
    """Asks another process for its samples, as a client of a data base does."""

    def __init__(self, connection):
        self.connection = connection

    def __len__(self):
        return 4

    def __getitem__(self, i):
        self.connection.send(i)
        return torch.full((3,), float(self.connection.recv()))


def answer(connection):
    while (key := connection.recv()) is not None:
        connection.send(10 * key)


def test_a_connection_is_used_by_this_process_alone_and_stays_open():
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=answer, args=(theirs,))
    server.start()
    messages = []
    batches = draw_batches(DataLoader(Asking(ours), batch_size=4), size=4, notify=messages.append)
    assert sorted(batches[0].data[:, 0].tolist()) == [0, 10, 20, 30]
    assert "Asking in the main process" in messages[0]
    ours.send(None)
    server.join(30)
    assert server.exitcode == 0
