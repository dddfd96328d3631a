"""Keys of 64 bits and the rows that they have."""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._arrays import words

__all__ = ["Assigned", "Evicted", "HeldRows", "RowMap"]


class Evicted(NamedTuple):
    """Keys that left, and the rows that they had."""

    keys: NDArray[np.uint64]
    rows: NDArray[np.uint32]


class Assigned(NamedTuple):
    """What :meth:`RowMap.assign` did."""

    #: The row of each key, in the order of the keys: ids for lookups and updates.
    rows: NDArray[np.uint32]
    #: Rows that have a key which they did not have before, each once: reset them (:meth:`Table.reset`).
    fresh: NDArray[np.uint32]
    #: Keys that had to leave.
    evicted: Evicted


class HeldRows:
    """Rows that stay with their keys until they are released: leave the ``with`` block, or call :meth:`release`."""

    def __init__(self, ids: RowMap, native: _native.HeldRows) -> None:
        self._ids, self._native = ids, native

    def release(self) -> None:
        """Lets go of them. Once more does nothing."""
        self._ids._native.release(self._native)

    def __enter__(self) -> HeldRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class RowMap:
    """Gives every key a row of its own; at most ``capacity`` keys have one at a time, whatever number of keys comes by.

    Two keys never share a row. A new key takes the lowest free row, or else the next after the last; when all are
    taken, it gets the row of the key that came least often lately (LRFU, Lee et al. 2001), and that key leaves.

    :param capacity: rows, from 1 to 2^32 - 2.
    :param half_life: of what counts as lately, in capacities' worth of keys.

    >>> from scall_gpu import Table
    >>> table, ids = Table([4, 4, 4], device="cpu"), RowMap(3)
    >>> batch = ids.assign([700, 800, 700, 900])
    >>> batch.rows
    array([0, 1, 0, 2], dtype=uint32)
    >>> batch = ids.assign([1000])
    >>> batch.rows, batch.evicted.keys
    (array([1], dtype=uint32), array([800], dtype=uint64))
    >>> table.reset(batch.fresh)
    >>> ids.get([700, 800])
    array([ 0, -1])
    """

    def __init__(self, capacity: int, *, half_life: float | None = None) -> None:
        if half_life is None:
            half_life = _native.RowMap.default_half_life()
        self._native = _native.RowMap(capacity, half_life)

    @classmethod
    def _of(cls, native: _native.RowMap) -> RowMap:
        ids = cls.__new__(cls)
        ids._native = native
        return ids

    def assign(self, keys: ArrayLike) -> Assigned:
        """Gives every key of a batch a row, known or new, and counts each occurrence.

        The rows are sure to belong to these keys until the next call; :meth:`hold` keeps them longer.

        :raises ValueError: where the batch has more distinct keys than there may be rows. Nothing has changed then.
        """
        rows, fresh, evicted, from_rows = self._native.assign(words("keys", keys, 8))
        return Assigned(rows, fresh, Evicted(evicted, from_rows))

    def get(self, keys: ArrayLike) -> NDArray[np.int64]:
        """The row of each key, -1 for one without. Counts nothing."""
        return self._native.get(words("keys", keys, 8))

    def frequency(self, keys: ArrayLike) -> NDArray[np.float64]:
        """How often each key came, where one half-life ago counts a half; 0 for one without a row."""
        return self._native.frequency(words("keys", keys, 8))

    def items(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """All keys that have a row, and their rows."""
        return self._native.items()

    def remove(self, key: int) -> int | None:
        """Takes a key's row, which is free then. Returns it, or ``None`` where the key had none."""
        return self._native.remove(key)

    def evict(self, count: int) -> Evicted:
        """Takes the rows of this many keys, those with the lowest score first."""
        return Evicted(*self._native.evict(count))

    def hold(self, rows: ArrayLike) -> HeldRows:
        """Keeps rows with their keys, whatever comes, until they are released.

        >>> ids = RowMap(2)
        >>> with ids.hold(ids.assign([5, 6]).rows[:1]):
        ...     ids.assign([7]).evicted.keys  # 5 would have gone first
        array([6], dtype=uint64)
        """
        return HeldRows(self, self._native.hold(words("rows", rows)))

    @property
    def capacity(self) -> int:
        """The most keys that have a row at a time."""
        return self._native.capacity()

    @property
    def half_life(self) -> float:
        """In capacities' worth of keys."""
        return self._native.half_life()

    def set_capacity(self, capacity: int) -> Evicted:
        """Follows a table that has grown or shrunk. Returns the keys that had to leave."""
        return Evicted(*self._native.set_capacity(capacity))

    @property
    def rows(self) -> int:
        """One more than the highest row that was given away."""
        return self._native.rows()

    @property
    def nbytes(self) -> int:
        """Bytes held, on the host."""
        return self._native.bytes()

    def __len__(self) -> int:
        """Keys that have a row."""
        return self._native.len()

    def __contains__(self, key: int) -> bool:
        return bool(self.get([key])[0] >= 0)

    def __repr__(self) -> str:
        return f"<RowMap: {len(self)} keys of at most {self.capacity}>"
