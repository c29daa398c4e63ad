"""Whether another run in the same folder of TensorBoard logs has a text already."""

from __future__ import annotations

from pathlib import Path

#: Pattern of the names of TensorBoard's files.
EVENT_FILES = "events.out.tfevents.*"
#: Largest number of files that are read, and of bytes of each. A text of the first observation stands near the start.
MAX_FILES = 100
MAX_BYTES = 1 << 20


def is_written_in_folder(text: str, log_dir: Path) -> bool:
    """Whether the run in a folder, or one in a folder beside it, has written a text.

    Event files hold texts as they are, so that no event need be parsed. Of very many runs only the first ones are
    searched.

    Args:
        text: The whole text.
        log_dir: The folder of one run. One that is not on this machine has no text.

    Returns:
        Whether the text was found.
    """
    wanted = text.encode()
    try:
        files = _event_files(log_dir)
        return any(_contains(file, wanted) for file in files[:MAX_FILES])
    except OSError:
        return False


def _event_files(log_dir: Path) -> list[Path]:
    """The event files of a run and of the runs beside it, the oldest first, by the time in their names."""
    if not log_dir.is_dir():
        return []
    files = list(log_dir.glob(EVENT_FILES))
    for sibling in log_dir.absolute().parent.iterdir():
        if sibling.is_dir() and sibling != log_dir.absolute():
            files += sibling.glob(EVENT_FILES)
    return sorted(files, key=lambda file: file.name)


def _contains(file: Path, wanted: bytes) -> bool:
    """Whether the first part of a file contains some bytes."""
    with file.open("rb") as stream:
        return wanted in stream.read(MAX_BYTES)
