"""Embedding tables with rows of different sizes inside a fixed number of bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._arrays import floats, words

if TYPE_CHECKING:
    from .row_map import RowMap

__all__ = ["Account", "Device", "Memory", "Table"]

FORMATS = ("f32", "f16", "bf16", "i8")
POOLINGS = ("sum", "mean", "max")


class Device:
    """Where tables live and kernels run.

    :param name: ``"auto"`` (a hardware GPU, else the CPU), ``"gpu"`` (the best GPU there is, software included) or
        ``"cpu"``.
    :raises DeviceError: where a GPU is asked for and there is none.

    >>> Device("cpu").is_gpu
    False
    """

    def __init__(self, name: str = "auto") -> None:
        self._native = _native.Device(name)

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self._native.is_gpu()

    def __repr__(self) -> str:
        return f"<Device: {self._native.describe()}>"


def _device(device: Device | str) -> Device:
    return device if isinstance(device, Device) else Device(device)


class Account:
    """Bytes that several tables share: what they hold together never passes the capacity.

    :param capacity: bytes, or ``None`` for no limit.
    :param count_optimizer: whether the optimizer's state counts too. It is gone once training ends, so it does not by
        default. Values and row directories always count.

    >>> account = Account(1000)
    >>> table = Table([8, 4, 2], account=account, device="cpu")
    >>> account.used_bytes, account.capacity_bytes
    (68, 1000)
    """

    def __init__(self, capacity: int | None = None, *, count_optimizer: bool = False) -> None:
        self._native = _native.Account(capacity, count_optimizer)

    @property
    def capacity_bytes(self) -> int | None:
        """The most that tables may hold, ``None`` without a limit."""
        return self._native.capacity_bytes()

    @capacity_bytes.setter
    def capacity_bytes(self, capacity: int) -> None:
        self._native.set_capacity(capacity)

    @property
    def used_bytes(self) -> int:
        """What the tables hold of what counts."""
        return self._native.used_bytes()

    def __repr__(self) -> str:
        return f"<Account: {self.used_bytes} of {self.capacity_bytes} bytes>"


class Memory:
    """Bytes that a table holds."""

    __slots__ = ("directory", "optimizer", "peak", "values")

    def __init__(self, values: int, optimizer: int, directory: int, peak: int) -> None:
        #: Embedding values, with what lies between aligned rows.
        self.values = values
        #: The optimizer's state.
        self.optimizer = optimizer
        #: What rows are found by.
        self.directory = directory
        #: The most held at once, reached while the last resize moved rows.
        self.peak = peak

    @property
    def total(self) -> int:
        """Values, state and directory."""
        return self.values + self.optimizer + self.directory

    def __repr__(self) -> str:
        of = ", ".join(f"{name}={getattr(self, name)}" for name in ("values", "optimizer", "directory", "peak"))
        return f"Memory({of})"


class Table:
    """Rows of different sizes on one device, looked up and trained in place.

    A row of ``sizes[r]`` values takes just that many, in one buffer, and 2 bytes of a directory. Sizes may change at
    any time (:meth:`resize`): what a row keeps is kept bit for bit, and what it gains begins at random.

    :param sizes: values of each row, 0 to 65,535.
    :param format: how a value is stored: ``"f32"``, ``"f16"``, ``"bf16"``, or ``"i8"`` (one byte a value, trained in
        place with random rounding).
    :param optimizer: how rows move: ``"sgd"``, ``"momentum"``, ``"nesterov"``, ``"adagrad"``, ``"adam"``,
        ``"adamw"``, ``"rmsprop"``, ``"ftrl"``, or with one number of state a row ``"row_wise_adagrad"``,
        ``"row_wise_adam"`` and ``"row_wise_rmsprop"``; constants as in ``"adam:learning_rate=0.003,beta1=0.8"``.
    :param weight_decay: part of a value that each step takes off it.
    :param max_norm: longest gradient of a row; a longer one is scaled.
    :param non_finite: what becomes of gradients that are not finite: ``"error"`` (the step is left out and
        :meth:`update` raises), ``"skip"`` or ``"clip"``.
    :param init_std: standard deviation of new values.
    :param zero_dims: leading values of a row that begin at 0, such as a bias.
    :param aligned: whether every row begins at a multiple of 16 bytes.
    :param seed: of new values and of rounding; another one for each table.
    :param account: what the bytes are drawn from.
    :param device: a :class:`Device` or its name.
    :raises BudgetError: where the account has no room.

    >>> import numpy as np
    >>> table = Table([2, 0, 3], init_std=0.0, optimizer="sgd:learning_rate=0.5", device="cpu")
    >>> table.update([2, 0, 2], np.ones((3, 3), np.float32))
    >>> table.lookup([0, 2], dims=3)
    array([[-0.5, -0.5,  0. ],
           [-1. , -1. , -1. ]], dtype=float32)
    >>> table.resize([2, 1, 1])
    >>> table.lookup([2], dims=3)
    array([[-1.,  0.,  0.]], dtype=float32)
    """

    def __init__(
        self,
        sizes: ArrayLike,
        *,
        format: str = "f32",
        optimizer: str = "sgd",
        weight_decay: float = 0.0,
        max_norm: float = float("inf"),
        non_finite: str = "error",
        init_std: float = 0.01,
        zero_dims: int = 0,
        aligned: bool = False,
        seed: int = 0,
        account: Account | None = None,
        device: Device | str = "auto",
    ) -> None:
        self._account = account if account is not None else Account()
        self._device = _device(device)
        options = {
            "optimizer": optimizer,
            "weight_decay": weight_decay,
            "max_norm": max_norm,
            "non_finite": non_finite,
            "format": format,
            "aligned": aligned,
            "init_std": init_std,
            "zero_dims": zero_dims,
            "seed": seed,
        }
        sizes = words("sizes", sizes)
        self._native = _native.Table(self._device._native, sizes, options, self._account._native)

    @classmethod
    def _of(cls, native: _native.Table, account: Account, device: Device) -> Table:
        table = cls.__new__(cls)
        table._native, table._account, table._device = native, account, device
        return table

    @classmethod
    def load(
        cls, file: str | os.PathLike[str], *, account: Account | None = None, device: Device | str = "auto"
    ) -> tuple[Table, RowMap | None]:
        """The table of a file, and the map of its keys where the file has one.

        The file is a safetensors file, described in ``docs/table-file.md``; any reader of safetensors opens it.

        :raises OSError: where the file can't be read.
        :raises ValueError: for a file that is damaged or something else; what is wrong is named.
        :raises BudgetError: where the account has no room.
        """
        from .row_map import RowMap

        account, device = account if account is not None else Account(), _device(device)
        table, ids = _native.Table.load(device._native, account._native, os.fspath(file))
        return cls._of(table, account, device), None if ids is None else RowMap._of(ids)

    def save(self, file: str | os.PathLike[str], ids: RowMap | None = None) -> None:
        """Writes the table, with its optimizer's state, and the map of its keys if one is given.

        The file is there as a whole or not at all.
        """
        self._native.save(os.fspath(file), None if ids is None else ids._native)

    def __len__(self) -> int:
        """Number of rows."""
        return self._native.rows()

    @property
    def sizes(self) -> NDArray[np.uint32]:
        """Values of each row."""
        return self._native.sizes()

    @property
    def values(self) -> int:
        """Values of all rows together."""
        return self._native.values()

    @property
    def widest(self) -> int:
        """Values of the widest row."""
        return self._native.widest()

    @property
    def steps(self) -> int:
        """Updates so far."""
        return self._native.steps()

    @property
    def format(self) -> str:
        """How values are stored."""
        return self._native.format()

    @property
    def optimizer(self) -> str:
        """The optimizer with its constants."""
        return self._native.optimizer()

    @property
    def account(self) -> Account:
        """What the bytes are drawn from."""
        return self._account

    @property
    def device(self) -> Device:
        """Where it lives."""
        return self._device

    @property
    def memory(self) -> Memory:
        """Bytes held."""
        return Memory(*self._native.memory())

    @property
    def nbytes(self) -> int:
        """Bytes held: values, optimizer state and directory."""
        return self.memory.total

    def read(self) -> NDArray[np.float32]:
        """All values, row after row with nothing between. ``np.split(table.read(), np.cumsum(table.sizes)[:-1])``
        gives the rows."""
        return self._native.read()

    def lookup(self, ids: ArrayLike, dims: int | None = None) -> NDArray[np.float32]:
        """The first values of some rows, ``[ids, dims]``, with zeros past a row's end.

        :param dims: width of the result; the widest row's by default.
        :raises IndexError: for an id past the table.
        """
        ids = words("ids", ids)
        dims = self.widest if dims is None else dims
        return self._native.lookup(ids, dims).reshape(ids.size, dims)

    def lookup_bags(
        self, ids: ArrayLike, offsets: ArrayLike, pooling: str = "sum", dims: int | None = None
    ) -> NDArray[np.float32]:
        """The rows of each bag as one, ``[bags, dims]``: bag k has the ids ``offsets[k]`` to ``offsets[k + 1]``.

        :param offsets: one more than there are bags; the last is the number of ids.
        :param pooling: ``"sum"``, ``"mean"`` or ``"max"``.
        """
        if pooling not in POOLINGS:
            raise ValueError(f"pooling: expected one of {', '.join(POOLINGS)}, found {pooling!r}")
        ids, offsets = words("ids", ids), words("offsets", offsets)
        if offsets.size == 0:
            raise ValueError("offsets: expected one more than there are bags, found none")
        dims = self.widest if dims is None else dims
        return self._native.lookup_bags(ids, offsets, pooling, dims).reshape(offsets.size - 1, dims)

    def update(self, ids: ArrayLike, gradients: ArrayLike, *, check: bool = True) -> None:
        """One step of the optimizer along the gradients of some rows.

        Gradients of one row, however often it stands in ``ids``, are summed first; then the row steps once. What lies
        past a row's end is left out.

        :param gradients: ``[ids, dims]``.
        :param check: whether to look afterwards for gradients that were not finite, which waits for a GPU.
        :raises DivergedError: where there were some and the table was made with ``non_finite="error"``. Those steps
            were left out, all others taken.
        :raises IndexError: for an id past the table.
        """
        ids = words("ids", ids)
        flat, dims = floats("gradients", gradients, ids.size)
        self._native.update(ids, flat, dims)
        if check:
            self._native.check_finite()

    def check_finite(self) -> int:
        """How many values, since the last look, had gradients or steps that were not finite."""
        return self._native.check_finite()

    def store(self, ids: ArrayLike, values: ArrayLike) -> None:
        """Sets the first values of some rows. Where an id stands twice, the last one counts."""
        ids = words("ids", ids)
        flat, dims = floats("values", values, ids.size)
        self._native.store(ids, flat, dims)

    def reset(self, ids: ArrayLike) -> None:
        """Some rows begin again, their optimizer's state too: for those that pass to other keys."""
        self._native.reset(words("ids", ids))

    def resize(self, sizes: ArrayLike) -> None:
        """Gives every row a new size; more or fewer sizes than rows add rows at the end or drop the last ones.

        :raises BudgetError: where the account has no room. Nothing has changed then.
        """
        self._native.resize(words("sizes", sizes))

    def append(self, sizes: ArrayLike) -> None:
        """Adds rows of these sizes at the end."""
        self._native.append(words("sizes", sizes))

    def set_learning_rate(self, rate: float) -> None:
        """Sets the optimizer's step size from the next update on."""
        self._native.set_learning_rate(rate)

    def __repr__(self) -> str:
        return f"<Table: {len(self)} rows, {self.values} values of {self.format}, {self.nbytes} bytes>"
