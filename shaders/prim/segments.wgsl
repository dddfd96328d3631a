// Runs of equal keys, and sums over segments.
//import common/grid.wgsl

struct Params {
    count: u32,  // keys, or segments
    first: u32,  // sums: this dispatch adds the strides first..last of each segment
    last: u32,
}

override lanes: u32 = 1u;  // sums: threads that share a segment

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read_write> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> runs: array<u32>;
@group(0) @binding(4) var<storage, read_write> starts: array<u32>;
@group(0) @binding(5) var<storage, read> values: array<f32>;
@group(0) @binding(6) var<storage, read> offsets: array<u32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;

fn begins_run(i: u32) -> bool {
    if i == 0u {
        return true;
    }
    return keys[i] != keys[i - 1u];
}

// 1 where a run begins; prim/scan makes it the number of runs up to there.
@compute @workgroup_size(256)
fn mark_runs(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i < params.count {
        places[i] = select(0u, 1u, begins_run(i));
    }
}

@compute @workgroup_size(256)
fn collect_runs(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i < params.count && begins_run(i) {
        runs[places[i]] = keys[i];
        starts[places[i] - 1u] = i;
    }
    // The number of runs, and the end of the last.
    if i == 0u {
        var total = 0u;
        if params.count > 0u {
            total = places[params.count - 1u];
        }
        runs[0] = total;
        starts[total] = params.count;
    }
}

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn sum_segments(invocation: Invocation) {
    let thread = invocation.thread;
    let segment = unit_of(invocation, lanes);
    let lane = thread % lanes;
    var sum = 0.0;
    if segment < params.count {
        let start = offsets[segment];
        let length = offsets[segment + 1u] - start;
        for (var stride = params.first; stride < params.last; stride++) {
            let i = stride * lanes + lane;
            if i >= length {
                break;
            }
            sum += values[start + i];
        }
    }
    partial[thread] = sum;
    for (var half = lanes >> 1u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
            partial[thread] += partial[thread + half];
        }
    }
    if segment < params.count && lane == 0u {
        var before = 0.0;
        if params.first > 0u {
            before = sums[segment];
        }
        sums[segment] = before + partial[thread];
    }
}
