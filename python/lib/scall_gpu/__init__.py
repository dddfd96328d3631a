"""Embedding tables with rows of different sizes inside a fixed memory budget, and recommenders on them.

:class:`Table` holds rows of any sizes and trains them in place, :class:`RowMap` gives keys rows of their own, and
:class:`Recommender` follows a stream of interactions: it learns, gives the frequent more room than the rare, and never
passes its budget. All of it runs on any GPU that Vulkan, Metal or DirectX 12 reach, or on the CPU.

Each class takes lists, NumPy arrays, and columns of pandas, polars and Arrow.
"""

from ._native import BudgetError, DeviceError, DivergedError, ScallError, __version__
from .recommender import List, Recommender, Rows
from .row_map import Assigned, Evicted, HeldRows, RowMap
from .table import Account, Device, Memory, Table

__all__ = [
    "Account",
    "Assigned",
    "BudgetError",
    "Device",
    "DeviceError",
    "DivergedError",
    "Evicted",
    "HeldRows",
    "List",
    "Memory",
    "Recommender",
    "RowMap",
    "Rows",
    "ScallError",
    "Table",
    "__version__",
]
