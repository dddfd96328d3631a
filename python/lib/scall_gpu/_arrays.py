"""What callers pass, as arrays and texts that the library takes."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["floats", "names", "times", "words"]

_UNSIGNED = {4: np.dtype(np.uint32), 8: np.dtype(np.uint64)}


def words(arg: str, values: ArrayLike, bytes: int = 4) -> NDArray[Any]:
    """Whole numbers of at least 0, `uint32` or `uint64`, one after the other.

    An array that is that already is taken as it is, without a copy.
    """
    dtype = _UNSIGNED[bytes]
    array = np.asarray(values)
    if array.dtype.kind in "fO" and all(_is_whole(value) for value in np.asarray(values, object).flat):
        # Python's numbers past 2^63 are none of NumPy's integers by themselves, and an empty list has floats.
        array = np.array(values, object)
        low, high = min(array.flat, default=0), max(array.flat, default=0)
        if 0 <= low and high <= np.iinfo(dtype).max:
            array = array.astype(dtype)
        else:
            raise ValueError(_outside(arg, low if low < 0 else high, dtype))
    if array.dtype != dtype:
        if array.dtype.kind not in "iu":
            raise TypeError(f"{arg}: expected whole numbers, found {array.dtype}")
        low, high = int(array.min(initial=0)), int(array.max(initial=0))
        if low < 0 or high > np.iinfo(dtype).max:
            raise ValueError(_outside(arg, low if low < 0 else high, dtype))
        array = array.astype(dtype)
    return np.ascontiguousarray(array).reshape(-1)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _outside(arg: str, found: int, dtype: np.dtype[Any]) -> str:
    return f"{arg}: expected numbers from 0 to {np.iinfo(dtype).max}, found {found}"


def floats(arg: str, values: ArrayLike, rows: int, dims: int | None = None) -> tuple[NDArray[np.float32], int]:
    """Rows of `float32` values, one after the other, and their width.

    Two dimensions, `[rows, dims]`, or one of `rows * dims` where the width is given. An array that is `float32` and
    contiguous already is taken as it is, without a copy.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{arg}: expected numbers, found {array.dtype}")
    if array.ndim == 2:
        width = array.shape[1]
        if array.shape[0] != rows:
            raise ValueError(f"{arg}: expected {rows} rows, one for each id, found {array.shape[0]}")
    elif array.ndim == 1 and dims is not None:
        width = dims
        if array.size != rows * dims:
            raise ValueError(f"{arg}: expected {rows} times {dims} values, found {array.size}")
    else:
        raise ValueError(f"{arg}: expected two dimensions, [ids, dims], found {array.ndim}")
    return np.ascontiguousarray(array, dtype=np.float32).reshape(-1), width


def names(arg: str, values: Sequence[Any]) -> list[str]:
    """Ids as texts: of a list, a NumPy array, or a column of pandas, polars or Arrow. Whole numbers become digits."""
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{arg}: expected several ids, found a single text")
    if hasattr(values, "to_pylist"):  # Arrow
        column = values.to_pylist()
    elif hasattr(values, "tolist"):  # NumPy, pandas
        column = values.tolist()
    elif hasattr(values, "to_list"):  # polars
        column = values.to_list()
    else:
        column = list(values)
    texts = []
    for position, value in enumerate(column):
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            texts.append(str(value))
        else:
            found = type(value).__name__ if value is not None else "nothing"
            raise TypeError(f"{arg}[{position}]: expected a text or a whole number as id, found {found}")
    return texts


def times(values: Any, rows: int) -> NDArray[np.int64]:
    """Unix seconds: whole numbers, or dates and times of NumPy, pandas, polars or Arrow."""
    if hasattr(values, "to_numpy"):
        try:
            values = values.to_numpy(zero_copy_only=False)  # Arrow
        except TypeError:
            values = values.to_numpy()
    array = np.asarray(values)
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise ValueError(f"times[{int(np.isnat(array).argmax())}]: expected a time, found none (NaT)")
        array = array.astype("datetime64[s]").astype(np.int64)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.floor(array)).all():
        # Whole numbers, as pandas has them once a column had gaps.
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"times: expected unix seconds or dates, found {array.dtype}")
    array = np.ascontiguousarray(array, dtype=np.int64).reshape(-1)
    if array.size != rows:
        raise ValueError(f"times: expected {rows}, one for each row, found {array.size}")
    return array
