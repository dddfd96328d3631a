// Exclusive prefix sum of one number a thread over a workgroup of 256.
var<workgroup> scan_shared: array<u32, 256>;

fn scan_step(thread: u32, step: u32) {
    var below = 0u;
    if thread >= step {
        below = scan_shared[thread - step];
    }
    workgroupBarrier();
    scan_shared[thread] += below;
    workgroupBarrier();
}

// Without a loop, since shader translators count the rounds of loops.
fn scan_threads(thread: u32, value: u32) -> u32 {
    scan_shared[thread] = value;
    workgroupBarrier();
    scan_step(thread, 1u);
    scan_step(thread, 2u);
    scan_step(thread, 4u);
    scan_step(thread, 8u);
    scan_step(thread, 16u);
    scan_step(thread, 32u);
    scan_step(thread, 64u);
    scan_step(thread, 128u);
    return scan_shared[thread] - value;
}
