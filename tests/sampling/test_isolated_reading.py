"""The user's objects are never touched: worker processes, a forked process, a private copy, and only then this one."""

import multiprocessing
import os
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset

from lightning_factorlens.sampling import forked_reading, isolated_reading
from lightning_factorlens.sampling.probe_batch import draw_batches
from lightning_factorlens.sampling.probe_source import FinishedBatches

GLOBAL = {"served": 0}
linux = pytest.mark.skipif(not forked_reading.can_fork(), reason="processes are not forked here")


class Stateful(Dataset):
    """Keeps every kind of state that a transform may have."""

    served_by_class = 0

    def __init__(self):
        self.served = 0
        self.numpy, self.python = np.random.default_rng(0), random.Random(0)
        self.torch = torch.Generator().manual_seed(0)

    def __len__(self):
        return 40

    def __getitem__(self, i):
        self.served += 1
        type(self).served_by_class += 1
        GLOBAL["served"] += 1
        noise = self.numpy.random() + self.python.random() + torch.rand((), generator=self.torch)
        return torch.full((3,), float(i)), noise

    def state(self):
        states = [self.served, self.served_by_class, GLOBAL["served"], self.numpy.bit_generator.state]
        return [*states, self.python.getstate(), self.torch.get_state().tolist()]


class Uncopyable(Stateful):
    def __reduce__(self):
        raise TypeError("cannot be pickled")


class OnceOpened(Uncopyable):
    """Stands for a file handle that works only in the process that opened it."""

    def __init__(self):
        super().__init__()
        self.pid = os.getpid()

    def __getitem__(self, i):
        if os.getpid() != self.pid:
            raise OSError("file of another process")
        return super().__getitem__(i)


def pick_with_state():
    calls = []

    def collate(samples):
        calls.append(len(samples))
        return samples[0]

    return collate, calls


def no_children():
    return not multiprocessing.active_children()


def rows(batches):
    return torch.cat([batch.data[0] for batch in batches])[:, 0].tolist()


@linux
@pytest.mark.parametrize("workers", [0, 2])
def test_datasets_with_state_are_left_as_found(workers):
    dataset = Stateful()
    before = dataset.state()
    batches = draw_batches(DataLoader(dataset, 16, num_workers=workers), 36)
    assert dataset.state() == before
    assert [batch.n_samples for batch in batches] == [16, 16, 4]
    assert no_children()
    again = draw_batches(DataLoader(dataset, 16, num_workers=workers), 36)
    assert all(torch.equal(a.data[1], b.data[1]) for a, b in zip(batches, again))


@linux
@pytest.mark.parametrize("workers", [0, 1])
def test_a_collate_function_with_state_is_left_as_found(workers):
    collate, calls = pick_with_state()
    batches = draw_batches(DataLoader(Stateful(), 4, collate_fn=collate, num_workers=workers), 10)
    assert calls == []
    assert [batch.n_samples for batch in batches] == [4, 4, 2]
    assert batches[0].data[0].shape == (3,)


@linux
def test_a_file_that_is_open_keeps_its_position(tmp_path):
    (tmp_path / "data").write_bytes(bytes(range(200)) * 100)

    class FromFile(Dataset):
        def __init__(self):
            self.file = open(tmp_path / "data", "rb")  # noqa: SIM115

        def __len__(self):
            return 10

        def __getitem__(self, i):
            return torch.tensor(list(self.file.read(1500)))

    for workers in (0, 1):
        dataset = FromFile()
        dataset.file.read(7)
        position = os.lseek(dataset.file.fileno(), 0, os.SEEK_CUR)
        draw_batches(DataLoader(dataset, 2, num_workers=workers), 10)
        assert os.lseek(dataset.file.fileno(), 0, os.SEEK_CUR) == position
        assert dataset.file.read(1)[0] == 7


def test_without_a_fork_a_private_copy_is_read(monkeypatch):
    monkeypatch.setattr(isolated_reading, "can_fork", lambda: False)
    dataset = Stateful()
    served, state = dataset.served, dataset.torch.get_state()
    assert rows(draw_batches(DataLoader(dataset, 16), 36)) != []
    assert dataset.served == served
    assert torch.equal(dataset.torch.get_state(), state)


@linux
def test_what_can_neither_be_forked_nor_copied_is_read_here_and_it_is_said():
    notices = []
    batches = draw_batches(DataLoader(OnceOpened(), 16), 36, notify=notices.append)
    assert len(rows(batches)) == 36
    (notice,) = notices
    assert "OnceOpened in the main process" in notice
    assert "file of another process" in notice
    assert "`probe=`" in notice


@linux
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [IndexError, FileNotFoundError, ValueError, RuntimeError])
def test_an_error_of_the_dataset_surfaces_as_itself(kind, workers):
    class Broken(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, i):
            raise kind("sample 3 is broken")

    with pytest.raises(kind, match="sample 3 is broken"):
        draw_batches(DataLoader(Broken(), 4, num_workers=workers), 8)
    assert no_children()


@linux
def test_a_process_that_ends_or_blocks_leads_to_the_next_way(monkeypatch):
    monkeypatch.setattr(forked_reading, "TIMEOUT_SECONDS", 0.5)
    parent = os.getpid()

    class Ends(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            if os.getpid() != parent:
                os._exit(3)
            return torch.zeros(2)

    class Blocks(Ends):
        def __getitem__(self, i):
            if os.getpid() != parent:
                multiprocessing.Event().wait()
            return torch.zeros(2)

    for dataset in (Ends(), Blocks()):
        assert draw_batches(dataset, 4)[0].data.shape == (4, 2)
        assert no_children()


@linux
def test_batches_that_cannot_be_sent_are_read_from_a_copy():
    class Local:
        def __init__(self, samples):
            self.samples = samples

        def __reduce__(self):
            raise TypeError("cannot be pickled")

    (batch,) = draw_batches(DataLoader(Stateful(), 64, collate_fn=Local), 8)
    assert len(batch.data.samples) == 8


class OneShot(IterableDataset):
    def __init__(self):
        self.source = (torch.full((2,), float(i)) for i in range(100))

    def __iter__(self):
        yield from self.source


def test_a_one_shot_stream_is_never_used_up(monkeypatch):
    if forked_reading.can_fork():
        stream = OneShot()
        assert draw_batches(DataLoader(stream, 4), 8)[1].data[0, 0] == 4
        assert next(stream.source)[0] == 0
    monkeypatch.setattr(isolated_reading, "can_fork", lambda: False)
    stream = OneShot()
    for source in (DataLoader(stream, 4), stream, FinishedBatches(stream.source), stream.source):
        with pytest.raises(TypeError, match="probe: found .* neither in a process of its own nor from a copy"):
            draw_batches(source, 8)
    assert next(stream.source)[0] == 0


def test_native_loaders_are_read_here_to_the_end_of_their_epoch_and_it_is_said():
    class Pipeline:
        """Stands for an iterator of DALI: its own iterator, which `reset` sets to its beginning."""

        __module__ = "nvidia.dali.plugin.pytorch"

        def __init__(self):
            self.position = 0

        def __iter__(self):
            return self

        def __next__(self):
            if self.position == 6:
                raise StopIteration
            self.position += 1
            return [{"data": torch.full((4, 2), float(self.position))}]

        def reset(self):
            self.position = 0

    notices = []
    pipeline = Pipeline()
    batches = draw_batches(FinishedBatches(pipeline), 7, notify=notices.append)
    assert [batch.n_samples for batch in batches] == [None, None]
    assert pipeline.position == 0
    assert len(notices) == 1 and "Pipeline in the main process" in notices[0]


@linux
@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_samplers_with_state_are_left_as_found_and_may_be_infinite(in_batches, workers):
    class Own(Sampler):
        def __init__(self):
            self.generator = random.Random(0)

        def __iter__(self):
            while True:
                first = self.generator.randrange(20)
                yield [first, first + 20] if in_batches else first

    sampler = Own()
    state = sampler.generator.getstate()
    options = {"batch_sampler": sampler} if in_batches else {"sampler": sampler, "batch_size": 4}
    batches = draw_batches(DataLoader(Stateful(), num_workers=workers, **options), 12)
    assert sampler.generator.getstate() == state
    values = rows(batches)
    assert 1 < len(values) <= 12
    if in_batches:
        assert all(b == a + 20 for a, b in zip(values[::2], values[1::2]))
    else:
        assert max(values) < 20


def test_plain_tensors_are_read_without_another_process(monkeypatch):
    for name in ("read_in_fork", "read_in_workers"):
        monkeypatch.setattr(isolated_reading, name, lambda *_: pytest.fail("a process was started"))
    monkeypatch.setattr(isolated_reading.copy, "deepcopy", lambda *_: pytest.fail("the data were copied"))
    x = torch.arange(20.0).view(-1, 1)
    for source in (TensorDataset(x), list(x), [(row, 1) for row in x]):
        assert sum(batch.n_samples for batch in draw_batches(DataLoader(source, 4, num_workers=2), 10)) == 10


@linux
def test_progress_is_reported_sample_by_sample():
    seen = []
    draw_batches(DataLoader(Stateful(), 16), 20, progress=lambda *numbers: seen.append(numbers))
    assert seen[0] == (1, 20)
    assert seen[-1] == (20, 20)


@linux
def test_a_loader_that_iterates_in_a_way_of_its_own_is_read_as_it_iterates():
    class Scaled(DataLoader):
        def __iter__(self):
            for batch in super().__iter__():
                yield [batch[0] * 2]

    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    loader = Scaled(TensorDataset(torch.ones(20, 2)), 4, shuffle=True, generator=generator, num_workers=2)
    batches = draw_batches(loader, 6)
    assert [batch.data[0].mean().item() for batch in batches] == [2.0, 2.0]
    assert torch.equal(generator.get_state(), state)
    assert loader.num_workers == 2


@linux
def test_streams_are_read_no_further_than_needed(tmp_path):
    log = tmp_path / "log"

    class Endless(IterableDataset):
        def __iter__(self):
            i = 0
            while True:
                with open(log, "a") as file:
                    file.write("x")
                yield torch.full((2,), float(i))
                i += 1

    batches = draw_batches(DataLoader(Endless(), 4), 6)
    assert [batch.n_samples for batch in batches] == [4, 2]
    assert len(log.read_text()) == 6
    assert len(draw_batches(DataLoader(Endless(), 4, num_workers=2), 16)) == 4
    assert no_children()


def test_loaders_of_finished_batches_yield_batches_of_unknown_size():
    x = torch.arange(24.0).view(6, 4, 1)

    class Whole(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return x[i] if isinstance(i, int) else x.view(24, 1)[i]

    class Stream(IterableDataset):
        def __iter__(self):
            yield from x

    by_lists = torch.utils.data.BatchSampler(range(24), 4, False)
    loaders = [
        DataLoader(Whole(), batch_size=None),
        DataLoader(Whole(), batch_size=None, num_workers=1),
        DataLoader(Stream(), batch_size=None),
        DataLoader(Whole(), sampler=by_lists, batch_size=None),
        FinishedBatches(list(x)),
    ]
    for loader in loaders:
        batches = draw_batches(loader, 10)
        assert [(batch.n_samples, len(batch.data)) for batch in batches] == [(None, 4)] * 3


class RestartingStream:
    """Its own iterator, which begins anew after the end of an epoch, as those of some data pipelines do."""

    def __init__(self, position):
        self.position = position

    def __iter__(self):
        return self

    def __next__(self):
        if self.position == 3:
            self.position = 0
            raise StopIteration
        self.position += 1
        return torch.full((4, 2), float(self.position))


def test_a_stream_at_the_end_of_its_epoch_is_read_from_the_next_one():
    stream = RestartingStream(position=3)
    drawn = draw_batches(FinishedBatches(stream), 8)
    assert [float(batch.data[0, 0]) for batch in drawn] == [1.0, 2.0]
    assert stream.position == 3
