// Undoes the fold of a 1-D grid into two dimensions (src/device/pipeline.rs).

// Where a thread is.
struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
}

// The number of its workgroup in the grid.
fn group_of(invocation: Invocation) -> u32 {
    return invocation.group.y * invocation.groups.x + invocation.group.x;
}

// The number of the unit of work that it shares with its neighbours, where `threads` of a workgroup of 256 share one.
fn unit_of(invocation: Invocation, threads: u32) -> u32 {
    return group_of(invocation) * (256u / threads) + invocation.thread / threads;
}
