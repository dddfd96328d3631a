// Undoes the fold of a 1-D grid into two dimensions (src/device/pipeline.rs).

// Where a thread is.
struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
}

// The number of its workgroup in the grid.
fn group_of(own: Invocation) -> u32 {
    return own.group.y * own.groups.x + own.group.x;
}

// The number of the unit of work that it shares with its neighbours, where `threads` of a workgroup of 256 share one.
fn unit_of(own: Invocation, threads: u32) -> u32 {
    return group_of(own) * (256u / threads) + own.thread / threads;
}
