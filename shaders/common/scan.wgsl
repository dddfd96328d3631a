// Exclusive prefix sum of one number a thread over a workgroup of 256.
var<workgroup> scan_shared: array<u32, 256>;

fn scan_threads(thread: u32, value: u32) -> u32 {
    scan_shared[thread] = value;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step <<= 1u) {
        var below = 0u;
        if thread >= step {
            below = scan_shared[thread - step];
        }
        workgroupBarrier();
        scan_shared[thread] += below;
        workgroupBarrier();
    }
    return scan_shared[thread] - value;
}
