"""Observations as JSON lines and back, and as a data frame: what a notebook, a script or another program reads.

A line is strict JSON, one observation under its records' own names. Numbers come back to the bit; NaN and the
infinities, which JSON has no numbers for, are the words ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. Eigenvalues are
kept. What is large is left out and comes back as None or empty: the probe's images, the factors and the cosine
matrices; ``torch.save`` keeps those.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from lightning_factorlens.results import LayerSimilarity, Observation

#: Fields that are left out.
EXCLUDED_FIELDS = {Observation: ("images", "factorization"), LayerSimilarity: ("cosine",)}
WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(observation: Observation) -> str:
    """One line, without its end."""
    return json.dumps(_encoded(observation), allow_nan=False, separators=(",", ":"))


def from_json(line: str) -> Observation:
    """The observation of one line; fields it does not have take their defaults, those nobody knows are passed over.

    Raises:
        ValueError: When the line is no JSON, or no observation.
    """
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(f"an observation is a JSON object, found {type(found).__name__}")
    decoded: Observation = _decoded(Observation, found)
    return decoded


def write_jsonl(observations: Iterable[Observation], path: str | PathLike[str]) -> None:
    """A file of one line an observation; one that is there already is replaced."""
    text = "".join(to_json(observation) + "\n" for observation in observations)
    Path(path).write_text(text, encoding="utf-8")


def read_jsonl(path: str | PathLike[str]) -> list[Observation]:
    """The observations of a file, in its order.

    Args:
        path: Of `write_jsonl` or a `JSONLinesSink`. A last line that was never finished, as a killed run leaves it, is
            passed over.

    Raises:
        OSError: When the file cannot be read.
        ValueError: Naming the line that is no observation.
    """
    observations = []
    for k, line in enumerate(_lines(Path(path)), start=1):
        try:
            observations.append(from_json(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}, line {k}: no observation: {error}") from error
    return observations


def without_tensors(observation: Observation) -> Observation:
    """The same numbers, without anything large: what a history may keep of every look."""
    return replace(
        observation,
        spectra=tuple(replace(s, eigenvalues=s.eigenvalues.new_empty(0)) for s in observation.spectra),
        similarity=tuple(replace(s, cosine=s.cosine.new_empty(0)) for s in observation.similarity),
        images=None,
        factorization=None,
    )


class JSONLinesSink:
    """Every observation as a line of a file, with a logger or without one.

    A file has no two looks at one step: the first line that a run writes cuts off what stands there at its own step or
    later. So a new run begins its file anew, and a resumed one goes on behind the checkpoint.

    Args:
        path: The file; its folder is made.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._opened = False

    def write(self, observation: Observation) -> None:
        """One more line; the file is closed in between, so that it can be read while the run goes on."""
        if not self._opened:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            earlier = [line for line in _lines(self.path) if json.loads(line)["step"] < observation.step]
            self.path.write_text("".join(line + "\n" for line in earlier), encoding="utf-8")
            self._opened = True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(to_json(observation) + "\n")

    def close(self) -> None:
        """The next run is another one."""
        self._opened = False


def _lines(path: Path) -> list[str]:
    """The finished lines of a file; none where there is no file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text.split("\n")[:-1]


def _encoded(value: Any) -> Any:
    if is_dataclass(value):
        out = EXCLUDED_FIELDS.get(type(value), ())
        return {f.name: _encoded(getattr(value, f.name)) for f in fields(value) if f.name not in out}
    if isinstance(value, Mapping):
        return {name: _encoded(v) for name, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encoded(v) for v in value]
    if isinstance(value, Tensor):
        return _encoded(value.detach().double().cpu().tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return next(word for word, number in WORDS.items() if str(number) == str(value))
    return value


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _decoded(kind: Any, value: Any) -> Any:
    """``value`` as a JSON reader gives it, as what the record's field is declared to be."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None:
            return None
        some = [k for k in inner if k is not NoneType]
        return _decoded(some[0], value) if len(some) == 1 else WORDS.get(value, value) if value in WORDS else value
    if is_dataclass(kind):
        return _record(kind, value)
    if origin is tuple:
        return tuple(_decoded(inner[0], v) for v in value)
    if origin is not None and issubclass(origin, Mapping):
        return {name: _decoded(inner[1], v) for name, v in value.items()}
    if kind is Tensor:
        return torch.tensor([_decoded(float, v) for v in value], dtype=torch.float64)
    if kind is float:
        return WORDS[value] if isinstance(value, str) else float(value)
    return value


def _record(kind: Any, value: Any) -> Any:
    given: dict[str, Any] = {}
    hints = _hints(kind)
    for f in fields(kind):
        if f.name in value:
            given[f.name] = _decoded(hints[f.name], value[f.name])
        elif hints[f.name] is Tensor:
            given[f.name] = torch.empty(0, dtype=torch.float64)
        elif f.default is MISSING and f.default_factory is MISSING:
            raise KeyError(f"{kind.__name__} lacks {f.name!r}")
    return kind(**given)
