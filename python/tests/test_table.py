"""Tables, accounts and maps of keys, against NumPy."""

import threading

import numpy as np
import pytest

import scall_gpu
from scall_gpu import Account, BudgetError, DivergedError, RowMap, Table

SIZES = np.array([3, 0, 5, 1, 8, 4], np.uint32)


def table(**options):
    return Table(SIZES, device="cpu", seed=3, **options)


def split(values, sizes):
    return np.split(values, np.cumsum(sizes)[:-1])


def padded(rows, ids, dims):
    out = np.zeros((len(ids), dims), np.float32)
    for k, row in enumerate(ids):
        width = min(dims, rows[row].size)
        out[k, :width] = rows[row][:width]
    return out


@pytest.mark.parametrize("format", ["f32", "f16", "bf16", "i8"])
@pytest.mark.parametrize("dims", [1, 4, 8, 11])
def test_lookups_are_the_rows(format, dims):
    of = table(format=format, init_std=0.5)
    rows, ids = split(of.read(), SIZES), [4, 1, 0, 4, 2]
    np.testing.assert_array_equal(of.lookup(ids, dims), padded(rows, ids, dims))
    assert of.lookup([], dims).shape == (0, dims)
    assert of.lookup(ids).shape == (5, 8)
    offsets = [0, 2, 2, 5]
    for pooling, expected in [("sum", np.sum), ("mean", np.mean)]:
        bags = [padded(rows, ids[a:b], dims) for a, b in zip(offsets, offsets[1:])]
        expected = [expected(bag, axis=0) if len(bag) else np.zeros(dims) for bag in bags]
        np.testing.assert_allclose(of.lookup_bags(ids, offsets, pooling, dims), expected, rtol=1e-5, atol=1e-7)


def test_updates_sum_duplicates_and_step_once():
    of = table(optimizer="adagrad:learning_rate=0.5,epsilon=1e-8")
    before = split(of.read(), SIZES)
    gradients = np.arange(24, dtype=np.float64).reshape(3, 8) / 10 + 0.1
    of.update(np.array([4, 0, 4], np.int64), gradients)
    after = split(of.read(), SIZES)
    for row, gradient in [(4, gradients[0] + gradients[2]), (0, gradients[1])]:
        step = np.sign(gradient[: SIZES[row]])  # g / sqrt(g^2): Adagrad's first
        np.testing.assert_allclose(after[row], before[row] - 0.5 * step, rtol=1e-5)
    for row in (2, 3, 5):
        np.testing.assert_array_equal(after[row], before[row])
    assert of.steps == 1


def test_sizes_change_and_values_stay():
    of = table()
    before = split(of.read(), SIZES)
    sizes = [5, 2, 1, 1, 8, 4, 3]
    of.resize(sizes)
    assert of.sizes.tolist() == sizes and len(of) == 7
    for row, (old, new) in enumerate(zip(before, split(of.read(), sizes))):
        kept = min(old.size, new.size)
        np.testing.assert_array_equal(new[:kept], old[:kept])
    of.append([2, 2])
    assert len(of) == 9
    of.store([8, 8], [[1, 2], [3, 4]])
    assert of.lookup([8], 2).tolist() == [[3, 4]]
    of.reset([8])
    assert abs(of.lookup([8], 2)).max() < 0.1


def test_what_is_taken_and_what_is_not():
    of = table()
    with pytest.raises(IndexError, match=r"ids\[1\]. is row 6, but the table has 6 rows"):
        of.lookup([0, 6])
    with pytest.raises(ValueError, match="ids: expected numbers from 0 to 4294967295, found -1"):
        of.lookup([0, -1])
    with pytest.raises(TypeError, match="ids: expected whole numbers, found float64"):
        of.lookup([0.5])
    with pytest.raises(ValueError, match="gradients: expected 2 rows, one for each id, found 3"):
        of.update([0, 1], np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"gradients: expected two dimensions, \[ids, dims\], found 1"):
        of.update([0, 1], np.zeros(4))
    with pytest.raises(ValueError, match="pooling: expected one of sum, mean, max, found 'avg'"):
        of.lookup_bags([0], [0, 1], "avg")
    with pytest.raises(ValueError, match="f32, f16, bf16, i8"):
        table(format="f8")
    with pytest.raises(ValueError, match="adagrad"):
        table(optimizer="adagard")
    with pytest.raises(ValueError, match="size|sizes"):
        Table([70_000], device="cpu")
    # Any memory order, any width of integers.
    ids = np.array([[0, 9], [4, 9], [2, 9]], np.int16)[:, 0]
    np.testing.assert_array_equal(of.lookup(ids, 3), of.lookup([0, 4, 2], 3))
    gradients = np.asfortranarray(np.ones((3, 8), np.float32))
    of.update(ids, gradients)


def test_gradients_that_are_not_finite():
    of = table()
    before = of.read()
    with pytest.raises(DivergedError, match="not finite"):
        of.update([0, 3], [[np.nan, 1.0], [np.inf, 0.0]])
    after = of.read()
    assert after[0] == before[0] and after[1] != before[1]
    of = table(non_finite="skip")
    of.update([0], [[np.nan]], check=False)
    assert of.check_finite() == 1 and of.check_finite() == 0


def test_an_account_is_never_passed():
    account = Account(200)
    of = Table([8] * 5, account=account, device="cpu")
    assert account.used_bytes == 5 * 8 * 4 + 4 * 4 <= account.capacity_bytes
    before = of.read()
    with pytest.raises(BudgetError, match="over budget"):
        of.resize([10] * 5)
    with pytest.raises(BudgetError):
        Table([1] * 20, account=account, device="cpu")
    np.testing.assert_array_equal(of.read(), before)
    of.resize([4] * 5)
    account.capacity_bytes = 110
    assert Account().capacity_bytes is None


def test_files_keep_everything(tmp_path):
    ids = RowMap(6, half_life=2.0)
    ids.assign([10, 20, 10, 2**63])
    of = table(format="i8", optimizer="row_wise_adagrad")
    of.update([0, 4], np.ones((2, 8)))
    file = tmp_path / "users.safetensors"
    of.save(file, ids)
    loaded, loaded_ids = Table.load(file, device="cpu")
    np.testing.assert_array_equal(loaded.read(), of.read())
    assert loaded.sizes.tolist() == SIZES.tolist() and loaded.optimizer == of.optimizer and loaded.steps == 1
    assert loaded_ids.get([10, 20, 2**63, 30]).tolist() == [0, 1, 2, -1] and loaded_ids.half_life == 2.0
    for one in (of, loaded):
        one.update([2], np.ones((1, 8)))
    np.testing.assert_array_equal(loaded.read(), of.read())
    with pytest.raises(OSError) as error:
        Table.load(tmp_path / "none.safetensors", device="cpu")
    assert error.value.errno == 2
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ValueError, match="users.safetensors"):
        Table.load(file, device="cpu")


def test_keys_come_and_go():
    ids = RowMap(3)
    assert ids.assign(np.array([7, 8, 7, 9])).rows.tolist() == [0, 1, 0, 2]
    batch = ids.assign(np.array([2**64 - 1], np.uint64))
    assert batch.rows.tolist() == [1] and batch.fresh.tolist() == [1]
    assert batch.evicted.keys.tolist() == [8] and batch.evicted.rows.tolist() == [1]
    assert len(ids) == 3 and 7 in ids and 8 not in ids
    assert ids.frequency([7, 8])[0] > 1 and ids.frequency([8]).tolist() == [0]
    for keys, found in [([1, 2, 3, 4], "limit"), ([2**64], str(2**64)), ([-1, 2**63], "-1")]:
        with pytest.raises(ValueError, match=found):
            ids.assign(keys)
    assert ids.get([]).size == 0
    assert ids.remove(7) == 0 and ids.remove(7) is None
    assert ids.set_capacity(1).keys.size == 1
    assert ids.evict(9).keys.size == 1 and len(ids) == 0
    held = ids.hold(ids.assign([5]).rows)
    with pytest.raises(ValueError):
        ids.assign([6])
    held.release()
    held.release()
    assert ids.assign([6]).rows.tolist() == [0]


def test_one_seed_gives_the_same_bits():
    def run():
        of = table(format="i8", init_std=0.1)
        for step in range(20):
            of.update([0, 4, 2], np.full((3, 8), 0.01 * step))
        return of.read().tobytes()

    assert run() == run()


def test_threads_wait_for_each_other():
    of = Table([8] * 1000, device="cpu", optimizer="sgd:learning_rate=1", init_std=0.0)
    gradients = np.ones((1000, 8), np.float32)

    def work():
        for _ in range(20):
            of.update(np.arange(1000), gradients)
            of.lookup(np.arange(1000))

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    np.testing.assert_array_equal(of.read(), -80)


def test_the_version_is_there():
    assert scall_gpu.__version__.count(".") == 2
