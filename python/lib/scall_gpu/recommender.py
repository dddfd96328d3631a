"""A recommender that follows a stream of interactions inside a budget."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._arrays import names, times as seconds
from .table import Device, _device

__all__ = ["List", "Recommender", "Rows"]

#: Is told the phase (``search``, ``size``, ``resize``, ``regularize``, ``train``, ``evaluate``), what of it is done,
#: and of how much, where that is known.
Progress = Callable[[str, int, "int | None"], None]


class List(NamedTuple):
    """A ranked list: ids, best first, and their scores. Scores of one list compare, those of two users do not."""

    ids: list[str]
    scores: NDArray[np.float32]
    #: Whether the user has a row. Who has none gets what is popular now.
    known: bool = True


class Rows(NamedTuple):
    """The rows of users or items: row k is ``values[offsets[k]:offsets[k + 1]]``."""

    ids: list[str]
    offsets: NDArray[np.uint64]
    values: NDArray[np.float32]

    def __getitem__(self, at):  # type: ignore[override]
        """The row of an id (a text), or a part of the tuple."""
        if not isinstance(at, str):
            return tuple.__getitem__(self, at)
        try:
            k = self.ids.index(at)
        except ValueError:
            raise KeyError(at) from None
        return self.values[self.offsets[k] : self.offsets[k + 1]]


class Recommender:
    """Learns from interactions as they come, in a fixed number of bytes; old rows shrink so that new ones fit in.

    A recorded log is followed with :meth:`fit`, segment after segment; each is ranked for before it counts as the
    past, so :attr:`reports` says how well it would have done. A live stream is fed with :meth:`observe` and learned
    from with :meth:`step`. Both may follow each other.

    :param model: ``"mf"`` (matrix factorisation by BPR), ``"fism"`` or ``"lightgcn"``.
    :param policy: who decides on sizes: ``"uniform"``, ``"ranked"`` (by frequency), ``"scall"`` (searched by a soft
        actor-critic, the slowest) and others; see ``docs/method.md`` section 3.
    :param budget: what both tables may hold: ``"mean=8"`` values a user or item, ``"bytes=10MB"``, ``"params=1M"``.
    :param values: how a value is stored: ``"f32"``, ``"f16"``, ``"bf16"`` or ``"i8"``. The last ranks best at equal
        bytes.
    :param replay: earlier rows that are learned again: ``"all"``, ``"recent=10000"`` (the others are forgotten, so
        memory does not grow with the stream), or a part of a segment's rows from 0 to 1.
    :param seed: of everything that is drawn. One seed and one device give the same lists, bit for bit.
    :param device: a :class:`Device` or its name.
    :param config: everything else, as ``scall stream --config`` takes it, nested:
        ``{"model": {"learning_rate": 0.1}, "data": {"segments": "equal=5"}}``.
    :raises ValueError: for a name or a number that there is not; the key is named.

    >>> recommender = Recommender("mf", policy="ranked", budget="mean=4", device="cpu")
    >>> recommender.observe(["ann", "bob", "bob", "cy", "ann"], ["tea", "tea", "jam", "jam", "oats"], [1, 2, 3, 4, 5])
    >>> report = recommender.step()
    >>> recommender.recommend("cy", k=1).ids
    ['tea']
    """

    def __init__(
        self,
        model: str = "mf",
        *,
        policy: str = "ranked",
        budget: str = "mean=8",
        values: str | None = None,
        replay: str | float | None = None,
        seed: int = 0,
        device: Device | str = "auto",
        config: dict[str, Any] | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "model": {"name": model},
            "policy": {"name": policy},
            "budget": {"amount": budget},
            "seed": seed,
        }
        if values is not None:
            given["model"]["format"] = values
        if replay is not None:
            given["replay"] = replay
        self._config = json.dumps(_merged(given, config or {}))
        self._device = _device(device)
        self._native = _native.Recommender(self._config, self._device._native)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, device: Device | str = "auto") -> Recommender:
        """The recommender that was saved last in a folder, by :meth:`save` or by ``scall stream --checkpoint``.

        It goes on as if it had not been interrupted, on the same device with the same bits.

        :raises OSError: where there is no such folder.
        :raises ValueError: for a checkpoint that is damaged, or none.
        """
        recommender = cls.__new__(cls)
        recommender._device = _device(device)
        recommender._native = _native.Recommender.load(os.fspath(folder), recommender._device._native)
        recommender._config = recommender._native.config()
        return recommender

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Keeps everything: what was seen, learned and decided. The folder holds the last two of these, each whole or
        absent. ``scall recommend``, ``similar``, ``export`` and ``serve`` read it too."""
        self._native.save(os.fspath(folder))

    def fit(
        self,
        users: Sequence[Any] | None = None,
        items: Sequence[Any] | None = None,
        times: Any = None,
        *,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        progress: bool | Progress = False,
    ) -> list[dict[str, Any]]:
        """Follows a recorded log, in time order, from its beginning to its end.

        The log is three columns of one length (lists, arrays, columns of pandas, polars or Arrow), or files as
        ``scall stream --data`` reads them (CSV, JSON lines, Parquet, packed or not). It is cut into ten segments, or as
        ``config["data"]["segments"]`` says.

        :param times: unix seconds, or dates.
        :param progress: ``True`` for a line on standard error, or a function.
        :returns: the report of each segment (see :attr:`reports`).
        :raises RuntimeError: on a recommender that has seen something already.
        :raises KeyboardInterrupt: on an interrupt, once the segment is done. What was learned stays; :meth:`resume`
            goes on.
        """
        if self._native.counts()[0] or self._native.progress()[0]:
            raise RuntimeError("fit: this recommender has seen rows already; observe and step go on from there")
        if files is not None:
            if users is not None or items is not None or times is not None:
                raise TypeError("fit: expected columns or files, found both")
            paths = [files] if isinstance(files, (str, os.PathLike)) else list(files)
            config = _merged(json.loads(self._config), {"data": {"path": [os.fspath(path) for path in paths]}})
            self._native, _ = _native.Recommender.over_files(json.dumps(config), self._device._native)
        else:
            if users is None or items is None or times is None:
                raise TypeError("fit: expected users, items and times, or files")
            user_names, item_names = names("users", users), names("items", items)
            columns = (user_names, item_names, seconds(times, len(user_names)))
            self._native = _native.Recommender.over(self._config, self._device._native, *columns)
        return self.resume(progress=progress)

    def resume(self, *, progress: bool | Progress = False) -> list[dict[str, Any]]:
        """Takes the segments that are left, such as after an interrupt. Returns their reports."""
        reports = []
        while True:
            report = self.step(progress=progress)
            if report is None:
                return reports
            reports.append(report)

    def observe(self, users: Sequence[Any], items: Sequence[Any], times: Any) -> None:
        """Adds rows to the end of the stream. Once a first segment was learned, who is new has a row at once.

        Rows may come a little out of order: up to ``late_seconds`` (3,600) before the latest one.

        :raises ValueError: for the first row that is wrong. None is added then.
        :raises BudgetError: where the budget has no room for newcomers. The rows are added, no table has changed.
        """
        user_names, item_names = names("users", users), names("items", items)
        self._native.observe(user_names, item_names, seconds(times, len(user_names)))

    def step(self, *, progress: bool | Progress = False) -> dict[str, Any] | None:
        """Learns from the rows since the last step: searches, sizes, trains, and ranks for the last fifth of them.

        :returns: the segment's report, ``None`` where there was nothing to learn from.
        :raises DivergedError: where training left the finite numbers. The next call repeats the step.
        :raises KeyboardInterrupt: on an interrupt, once the step is done.
        """
        if progress is True:
            with _Line(self._native.progress()) as line:
                return self._native.step(line)
        return self._native.step(progress or None)

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What happened in each segment: sizes of the population, bytes, loss, and under ``"among_test_items"`` and
        ``"among_all_items"`` the metrics at each cutoff (``report["among_test_items"][20]["ndcg"]``). Of files with
        ratings and ``config["data"]["clicks"]``, ``"exposures"`` has the AUC of what users liked above what they did
        not."""
        return self._native.reports()

    @property
    def summary(self) -> dict[str, Any] | None:
        """The mean metrics of all segments but the first; ``None`` before there are any."""
        return self._native.summary()

    @property
    def config(self) -> dict[str, Any]:
        """The whole configuration."""
        return json.loads(self._native.config())

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows of the stream so far, users, items."""
        return self._native.counts()

    def has_user(self, user: Any) -> bool:
        """Whether a user was seen."""
        return self._native.has_user(*names("user", [user]))

    def has_item(self, item: Any) -> bool:
        """Whether an item was seen."""
        return self._native.has_item(*names("item", [item]))

    def recommend(self, user: Any, k: int = 10, **options: Any) -> List:
        """The best items for a user, best first; :meth:`recommend_batch` has the options."""
        return self.recommend_batch([user], k, **options)[0]

    def recommend_batch(
        self,
        users: Sequence[Any],
        k: int = 10,
        *,
        among: Sequence[Any] | None = None,
        without: Sequence[Any] = (),
        known_items: bool = False,
    ) -> list[List]:
        """The best items for each of these users. One call for many costs less than many calls.

        :param k: length of a list, 1 to 100.
        :param among: the only items that may be listed.
        :param without: items that are not listed.
        :param known_items: whether items that the user had may be listed again.
        :raises ValueError: for an item of these that was never seen.
        """
        among_names = None if among is None else names("among", among)
        lists = self._native.recommend(names("users", users), k, among_names, names("without", without), known_items)
        return [List(ids, scores, known) for known, ids, scores in lists]

    def similar_items(self, item: Any, k: int = 10) -> List:
        """The items whose rows are most like an item's, by cosine.

        :raises ValueError: for an item without a row.
        """
        return List(*self._native.similar_items(*names("item", [item]), k))

    def similar_users(self, user: Any, k: int = 10) -> List:
        """The users whose rows are most like a user's, by cosine.

        :raises ValueError: for a user without a row.
        """
        return List(*self._native.similar_users(*names("user", [user]), k))

    @property
    def user_rows(self) -> Rows:
        """The users' rows."""
        return _rows(*self._native.user_rows())

    @property
    def item_rows(self) -> Rows:
        """The items' rows. Where :attr:`has_item_bias`, a row's first value is the item's bias."""
        return _rows(*self._native.item_rows())

    @property
    def has_item_bias(self) -> bool:
        """Whether the first value of an item's row is its bias."""
        return self._native.item_bias()

    def __repr__(self) -> str:
        rows, users, items = self.counts
        config = self.config
        name, policy = config["model"]["name"], config["policy"]["name"]
        return f"<Recommender: {name}, {policy}, {rows} rows of {users} users and {items} items>"


def _rows(ids: list[str], sizes: NDArray[np.uint32], values: NDArray[np.float32]) -> Rows:
    offsets = np.zeros(sizes.size + 1, np.uint64)
    np.cumsum(sizes, out=offsets[1:])
    return Rows(ids, offsets, values)


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The second over the first, key by key."""
    merged = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


class _Line:
    """Progress as a line on standard error that is written over."""

    def __init__(self, progress: tuple[int, int]) -> None:
        done, given = progress
        self._segment = f"segment {done + 1}" + (f" of {given}" if given else "")
        self._width = 0

    def __call__(self, phase: str, done: int, of: int | None) -> None:
        part = f" {done} of {of}" if of else f" {done}" if done else ""
        self._write(f"{self._segment}: {phase}{part}")

    def _write(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r" + text.ljust(self._width))
            sys.stderr.flush()
            self._width = len(text)

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")
        if self._width == 0 and sys.stderr.isatty():
            sys.stderr.write("\r")
