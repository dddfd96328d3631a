// A plain copy: four times 16 bytes a thread, all of them under way at once.
@group(0) @binding(0) var<storage, read> from_values: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> to_values: array<vec4<u32>>;

@compute @workgroup_size(256)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let at = (group.y * groups.x + group.x) * 1024u + thread;
    if at + 768u < arrayLength(&from_values) {
        let a = from_values[at];
        let b = from_values[at + 256u];
        let c = from_values[at + 512u];
        let d = from_values[at + 768u];
        to_values[at] = a;
        to_values[at + 256u] = b;
        to_values[at + 512u] = c;
        to_values[at + 768u] = d;
    }
}
