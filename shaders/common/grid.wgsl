// Undoes the fold of a 1-D grid into two dimensions (src/device/pipeline.rs).

// The number of a workgroup in the grid.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// Where a thread is. To WGSL all of a struct differs from thread to thread, so a shader whose barriers stand in a
// branch or a loop that depends on the workgroup takes the three one by one.
struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
}

// The number of its workgroup in the grid.
fn group_of(invocation: Invocation) -> u32 {
    return workgroup_index(invocation.group, invocation.groups);
}

// The number of the unit of work that it shares with its neighbours, where `threads` of a workgroup of 256 share one.
fn unit_of(invocation: Invocation, threads: u32) -> u32 {
    return group_of(invocation) * (256u / threads) + invocation.thread / threads;
}
