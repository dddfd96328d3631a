// Undoes the fold of a 1-D grid into two dimensions (src/device/pipeline.rs).
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.y * count.x + id.x;
}
