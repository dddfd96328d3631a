"""Recommenders: streams from columns and files, lists, states, interrupts."""

import csv
import os
import signal
import threading

import numpy as np
import pytest

from scall_gpu import BudgetError, Recommender


def log(rows, seed=0):
    """Users of two tastes: those of even number take items of even number."""
    random = np.random.default_rng(seed)
    users = random.integers(0, 60, rows)
    items = (random.integers(0, 40, rows) // 2) * 2 + users % 2
    return [f"u{user}" for user in users], [f"i{item}" for item in items], np.arange(rows) + 1_600_000_000


def small(model="mf", **more):
    config = {"model": {"batch": 256, "steps": 60}, "data": {"segments": "equal=4"}}
    return Recommender(model, device="cpu", config=config, **more)


@pytest.mark.parametrize("model", ["mf", "fism", "lightgcn"])
def test_it_learns_taste(model):
    recommender = small(model, values="i8" if model == "mf" else None)
    reports = recommender.fit(*log(6000))
    assert [report["segment"] for report in reports] == [0, 1, 2, 3] and recommender.reports == reports
    for report in reports:
        assert report["counted_bytes"] <= report["budget_bytes"]
        assert report["held_bytes"]["total"] > report["held_bytes"]["values"]
    at20 = recommender.summary["among_test_items"]
    assert set(at20) == {5, 10, 20} and {"recall", "ndcg", "coverage"} <= set(at20[20])
    lists = recommender.recommend_batch(["u2", "u3", "nobody"], k=3, known_items=True)
    assert [of.known for of in lists] == [True, True, False]
    for user, of in zip((2, 3), lists):
        assert all(int(item[1:]) % 2 == user % 2 for item in of.ids), of
        assert of.scores.dtype == np.float32 and (np.diff(of.scores) <= 0).all()
    assert recommender.recommend("u2", 3, known_items=True).ids == lists[0].ids
    assert len(recommender.similar_items("i4", 5).ids) == 5
    assert "u2" not in recommender.similar_users("u2", 5).ids


def test_filters():
    recommender = small()
    recommender.fit(*log(3000))
    of = recommender.recommend("u2", 10, among=["i0", "i2", "i4"], without=["i2"], known_items=True)
    assert sorted(of.ids) == ["i0", "i4"]
    with pytest.raises(ValueError, match="among"):
        recommender.recommend("u2", among=["milk"])
    with pytest.raises(ValueError, match="similar_items"):
        recommender.similar_items("milk")


def test_rows_are_those_of_the_tables():
    recommender = small()
    recommender.fit(*log(3000))
    rows = recommender.item_rows
    rows_of, users, items = recommender.counts
    assert rows_of == 3000 and len(rows.ids) <= items and rows.offsets[-1] == rows.values.size
    assert rows["i4"].size >= 1 and recommender.has_item_bias
    with pytest.raises(KeyError):
        rows["milk"]
    assert len(recommender.user_rows.ids) <= users


def columns_of(kind, users, items, times):
    if kind == "numpy":
        return np.array(users), np.array(items), times
    if kind == "numbers":
        return np.array([int(user[1:]) for user in users]), np.array([int(item[1:]) for item in items]), times
    if kind == "dates":
        return users, items, times.astype("datetime64[s]")
    module = pytest.importorskip(kind)
    if kind == "pandas":
        frame = module.DataFrame({"u": users, "i": items, "t": module.to_datetime(times, unit="s")})
        return frame["u"], frame["i"], frame["t"]
    if kind == "polars":
        frame = module.DataFrame({"u": users, "i": items, "t": times})
        return frame["u"], frame["i"], frame["t"]
    return module.array(users), module.array(items), module.array(times)


@pytest.mark.parametrize("kind", ["numpy", "numbers", "dates", "pandas", "polars", "pyarrow"])
def test_columns_of_all_kinds_are_the_same_stream(kind):
    rows = log(1200)
    expected, recommender = small(), small()
    expected.fit(*rows)
    recommender.fit(*columns_of(kind, *rows))
    assert [of["loss"] for of in recommender.reports] == [of["loss"] for of in expected.reports]


def test_files_are_the_same_stream(tmp_path):
    users, items, times = log(1200)
    file = tmp_path / "purchases.csv"
    with open(file, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["user", "item", "timestamp"])
        writer.writerows(zip(users, items, times))
    expected, recommender = small(), small()
    expected.fit(users, items, times)
    recommender.fit(files=file)
    assert [of["loss"] for of in recommender.reports] == [of["loss"] for of in expected.reports]
    with pytest.raises(OSError):
        small().fit(files=tmp_path / "none.csv")
    with pytest.raises(TypeError, match="columns or files, found both"):
        small().fit(users, items, times, files=file)
    with pytest.raises(TypeError, match="expected users, items and times"):
        small().fit(users)


def test_ratings_make_clicks_of_a_file(tmp_path):
    users, items, times = log(1500)
    file = tmp_path / "ratings.csv"
    with open(file, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["user", "item", "rating", "timestamp"])
        writer.writerows(zip(users, items, [k * k % 10 for k in range(1500)], times))
    recommender = Recommender("mf", device="cpu", config={"data": {"clicks": 4, "segments": "equal=3"}})
    reports = recommender.fit(files=file)
    assert all(0 <= report["exposures"]["auc"] <= 1 and report["exposures"]["users"] > 0 for report in reports)
    plain = small()
    plain.fit(files=file)
    assert all(report["exposures"] is None for report in plain.reports)


def test_a_live_stream_admits_who_is_new_and_forgets():
    recommender = small(replay="recent=500", budget="bytes=20kB")
    for part in range(6):
        users, items, times = log(600, seed=part)
        recommender.observe(users, items, times + 1000 * part)
        report = recommender.step()
        assert report["counted_bytes"] <= 20_000
    assert recommender.step() is None
    recommender.observe(["newcomer"], ["i0"], [1_700_000_000])
    assert recommender.has_user("newcomer") and recommender.recommend("newcomer", 3).known
    held = [of["held_bytes"] for of in recommender.reports]
    assert held[5]["stream"] <= held[2]["stream"] + 100


def test_a_saved_one_goes_on_with_the_same_bits(tmp_path):
    users, items, times = log(3000)
    one = small("fism", values="i8")
    one.observe(users[:2000], items[:2000], times[:2000])
    one.step()
    one.save(tmp_path / "kept")
    other = Recommender.load(tmp_path / "kept", device="cpu")
    assert other.config == one.config and other.reports == one.reports
    for of in (one, other):
        of.observe(users[2000:], items[2000:], times[2000:])
    assert one.step()["loss"] == other.step()["loss"]
    for user in ("u1", "u2", "nobody"):
        a, b = one.recommend(user), other.recommend(user)
        assert a.ids == b.ids and a.scores.tolist() == b.scores.tolist()
    with pytest.raises(OSError):
        Recommender.load(tmp_path / "none", device="cpu")
    with pytest.raises(ValueError, match="checkpoint"):
        os.mkdir(tmp_path / "empty")
        Recommender.load(tmp_path / "empty", device="cpu")


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="`model.name`.*mf"):
        Recommender("mfx", device="cpu")
    with pytest.raises(ValueError, match="`policy.name`"):
        Recommender(policy="best", device="cpu")
    with pytest.raises(ValueError, match="`budget.amount`"):
        Recommender(budget="8", device="cpu")
    with pytest.raises(ValueError, match="learning_rat"):
        Recommender(device="cpu", config={"model": {"learning_rat": 1}})
    recommender = small()
    users, items, times = log(100)
    with pytest.raises(ValueError, match="times: expected 100, one for each row, found 99"):
        recommender.observe(users, items, times[:99])
    with pytest.raises(ValueError, match="`items` has length 99, expected 100"):
        recommender.observe(users, items[:99], times)
    with pytest.raises(TypeError, match=r"users\[1\]: expected a text or a whole number as id, found nothing"):
        recommender.observe(["a", None], ["x", "y"], [1, 2])
    with pytest.raises(TypeError, match="users: expected several ids, found a single text"):
        recommender.observe("ann", ["x"], [1])
    with pytest.raises(ValueError, match="milliseconds"):
        recommender.observe(["a"], ["x"], [1_700_000_000_000])
    with pytest.raises(ValueError, match="NaT"):
        recommender.observe(["a"], ["x"], np.array(["NaT"], "datetime64[s]"))
    assert recommender.counts == (0, 0, 0)
    with pytest.raises(BudgetError, match="infeasible"):
        small(budget="bytes=100").fit(*log(1000))
    fitted = small()
    fitted.fit(users, items, times)
    with pytest.raises(RuntimeError, match="has seen rows already"):
        fitted.fit(users, items, times)


def test_progress_is_heard_and_its_errors_are_raised():
    heard = []
    recommender = small()
    recommender.fit(*log(1000), progress=lambda *phase: heard.append(phase))
    assert {"size", "resize", "train", "evaluate"} <= {phase for phase, *_ in heard}
    assert ("train", 60, 60) in heard

    def fail(*_):
        raise ZeroDivisionError

    recommender = small()
    with pytest.raises(ZeroDivisionError):
        recommender.fit(*log(1000), progress=fail)
    assert len(recommender.reports) == 1 and len(recommender.resume()) == 3

    recommender = small()
    with pytest.raises(RuntimeError, match="within its own progress"):
        recommender.fit(*log(1000), progress=lambda *_: recommender.reports)


@pytest.fixture
def interrupts():
    """Interrupts as a terminal's: what runs in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_after_the_segment_and_it_goes_on(interrupts):
    recommender, whole = small(), small()
    whole.fit(*log(2000))
    interrupted = []

    def interrupt(phase, done, of):
        if phase == "train" and not interrupted:
            interrupted.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        recommender.fit(*log(2000), progress=interrupt)
    assert len(recommender.reports) == 1
    recommender.resume()
    assert [of["loss"] for of in recommender.reports] == [of["loss"] for of in whole.reports]


def test_others_may_ask_while_it_learns():
    recommender = small()
    recommender.observe(*log(3000))
    recommender.step()
    recommender.observe(["u1"] * 3000, ["i1", "i3", "i5"] * 1000, np.full(3000, 1_700_000_000))
    lists = []

    def ask():
        for _ in range(5):
            lists.append(recommender.recommend("u2", 5).ids)
            lists.append(recommender.counts)

    thread = threading.Thread(target=ask)
    thread.start()
    recommender.step(progress=lambda *_: None)
    thread.join()
    assert len(lists) == 10
