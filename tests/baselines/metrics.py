"""Makes metrics.json: lists with what is relevant, and what ranx and RecBole find in them.

    python3 -m venv venv && venv/bin/pip install ranx scikit-learn
    venv/bin/pip download --no-deps recbole && unzip recbole-*.whl -d recbole
    venv/bin/python metrics.py recbole > metrics.json

ranx runs as it is. Of RecBole only `evaluator/metrics.py` runs, which needs neither torch nor a data set: the classes
that it derives from are replaced by ones that hand the arrays over and round nothing, and `np.float`, which NumPy no
longer has, is Python's `float`, as it was. Its lists all have the longest length, so the shorter ones are padded with
misses for the metrics of users, and left out for those of the catalogue.
"""

import json
import sys
import types
from importlib.metadata import version
from pathlib import Path

import numpy as np
import ranx

USERS, ITEMS, LONGEST, CUTOFFS, SEED = 200, 300, 30, [1, 3, 5, 10, 20, 30], 7


def inputs():
    rng = np.random.default_rng(SEED)
    popularity = np.floor(4000 / (1 + rng.permutation(ITEMS))).astype(int)
    lists, relevant = [], []
    for user in range(USERS):
        taste = np.log(popularity) + rng.gumbel(size=ITEMS)
        ranked = np.argsort(-(taste + rng.gumbel(scale=4, size=ITEMS)))
        # Every ninth list is shorter, and every seventh user has more relevant items than the list has places.
        length = int(rng.integers(1, LONGEST)) if user % 9 == 4 else LONGEST
        count = int(rng.integers(LONGEST + 1, 2 * LONGEST)) if user % 7 == 3 else int(rng.integers(1, 12))
        lists.append([int(item) for item in ranked[:length]])
        relevant.append(sorted(int(item) for item in np.argsort(-taste)[:count]))
    return popularity.tolist(), lists, relevant


def of_ranx(lists, relevant):
    name = {"recall": "recall", "ndcg": "ndcg", "hit_rate": "hit_rate", "mrr": "mrr", "precision": "precision",
            "map": "map"}
    qrels = ranx.Qrels({f"u{u}": {f"i{i}": 1 for i in items} for u, items in enumerate(relevant)})
    # Scores that fall by one a place: no ties.
    run = ranx.Run({f"u{u}": {f"i{i}": float(len(items) - at) for at, i in enumerate(items)}
                    for u, items in enumerate(lists)})
    return {ours: {k: float(ranx.evaluate(qrels, run, f"{theirs}@{k}")) for k in CUTOFFS}
            for ours, theirs in name.items()}


class Base:
    def __init__(self, config):
        self.topk, self.decimal_place = config["topk"], 17

    def used_info(self, data):
        return data["hits"], data["relevant"]

    def topk_result(self, metric, value):
        return {f"{metric}@{k}": value.mean(axis=0)[k - 1] for k in self.topk}


def recbole_metrics(folder):
    np.float = float
    for name, members in {
        "sklearn": {}, "sklearn.metrics": {"auc": None, "mean_absolute_error": None, "mean_squared_error": None},
        "recbole": {}, "recbole.evaluator": {}, "recbole.evaluator.utils": {"_binary_clf_curve": None},
        "recbole.evaluator.base_metric": {"AbstractMetric": Base, "TopkMetric": Base, "LossMetric": Base},
        "recbole.utils": {"EvaluatorType": types.SimpleNamespace(RANKING=0, VALUE=1)},
    }.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(members)
    module = types.ModuleType("metrics")
    exec((Path(folder) / "recbole/evaluator/metrics.py").read_text(), module.__dict__)
    return module


def of_recbole(folder, popularity, lists, relevant):
    module = recbole_metrics(folder)
    hits = np.zeros((USERS, LONGEST), dtype=bool)
    for user, items in enumerate(lists):
        hits[user, :len(items)] = np.isin(items, relevant[user])
    config, data = {"topk": CUTOFFS}, {"hits": hits, "relevant": np.array([len(items) for items in relevant])}
    full = np.array([items for items in lists if len(items) == LONGEST])
    found = {}
    for name, theirs in {"recall": "Recall", "ndcg": "NDCG", "hit_rate": "Hit", "mrr": "MRR", "precision": "Precision",
                         "map": "MAP"}.items():
        found[name] = getattr(module, theirs)(config).calculate_metric(data)
    coverage, gini = module.ItemCoverage(config), module.GiniIndex(config)
    found["coverage"] = {k: coverage.get_coverage(full[:, :k], ITEMS) for k in CUTOFFS}
    found["gini"] = {k: gini.get_gini(full[:, :k], ITEMS) for k in CUTOFFS}
    average = module.AveragePopularity(config)
    values = average.metric_info(average.get_pop(full, dict(enumerate(popularity))))
    found["mean_popularity"] = average.topk_result("averagepopularity", values)
    return {name: {int(str(key).split("@")[-1]): float(value) for key, value in by_cutoff.items()}
            for name, by_cutoff in found.items()}


def main():
    popularity, lists, relevant = inputs()
    wheel = next(Path(sys.argv[1]).glob("recbole-*.dist-info")).name.removesuffix(".dist-info")
    ranx_found, made = of_ranx(lists, relevant), {"ranx": version("ranx"), "recbole": wheel.split("-")[1],
                                                  "numpy": version("numpy"), "numba": version("numba")}
    found = {"versions": made, "seed": SEED, "items": ITEMS, "longest": LONGEST, "popularity": popularity,
             "lists": lists, "relevant": relevant, "ranx": ranx_found,
             "recbole": of_recbole(sys.argv[1], popularity, lists, relevant)}
    rows = [f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in found.items()]
    print("{\n" + ",\n".join(rows) + "\n}")


if __name__ == "__main__":
    main()
