"""Times torch on the inputs of a case: a line of JSON for each, in and out, until the input ends.

Started by `kernel_report --torch PYTHON`; "seconds" is a median, by CUDA events on a GPU.
"""
import json
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

WARM_UPS, RUNS = 5, 30
cuda = sys.argv[1] == "cuda"
device = torch.device(sys.argv[1])
if not cuda:
    torch.set_num_threads(int(sys.argv[2]))


def median(run, before=lambda: None):
    """Seconds of `run`, given what an untimed `before` returns."""
    times = []
    for i in range(WARM_UPS + RUNS):
        given = before()
        if cuda:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            run(given)
            end.record()
            torch.cuda.synchronize()
            seconds = start.elapsed_time(end) / 1e3
        else:
            start = time.perf_counter()
            run(given)
            seconds = time.perf_counter() - start
        if i >= WARM_UPS:
            times.append(seconds)
    return statistics.median(times)


def measure(work, rows, dims, bag, ids):
    ids = torch.from_numpy(np.fromfile(ids, dtype=np.uint32).astype(np.int64)).to(device)
    weight = torch.randn(rows, dims, device=device)
    if work == "gather and mask":
        mask = (torch.arange(dims, device=device) < torch.randint(1, dims, (rows, 1), device=device)).float()
        return median(lambda _: weight[ids] * mask[ids])
    if work == "BPR and SGD":
        users, positives, negatives = ids.split(bag)
        halves = [rows // 2, rows - rows // 2]
        tables = [torch.nn.Embedding(half, dims, sparse=True, device=device) for half in halves]
        optimizer = torch.optim.SGD([table.weight for table in tables], lr=0.05)

        def train(_):
            optimizer.zero_grad(set_to_none=True)
            u, p, n = tables[0](users), tables[1](positives), tables[1](negatives)
            decay = sum(side.square().sum() for side in (u, p, n)) / bag
            (0.02 * decay - F.logsigmoid((u * (p - n)).sum(1)).mean()).backward()
            optimizer.step()

        return median(train)
    offsets = torch.arange(0, len(ids), bag, device=device)
    if work == "embedding bag":
        return median(lambda _: F.embedding_bag(ids, weight, offsets, mode="sum"))
    if work == "sparse Adagrad":
        weight.requires_grad_(True)
        optimizer = torch.optim.Adagrad([weight], lr=0.1)
        gradient = torch.randn(len(offsets), dims, device=device)

        def forward():
            optimizer.zero_grad(set_to_none=True)
            return F.embedding_bag(ids, weight, offsets, mode="sum", sparse=True)

        def step(out):
            out.backward(gradient)
            optimizer.step()

        return median(step, forward)
    raise ValueError(f"no such work: {work}")


print(json.dumps({"version": torch.__version__, "device": torch.cuda.get_device_name() if cuda else "CPU"}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": measure(**json.loads(line))}), flush=True)
