// What kernels that write the rows which ids name have in common. The including file imports grid and rows/page.wgsl,
// and has `count` in Params.
override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(1) var<storage, read_write> arena: array<u32>;
@group(0) @binding(2) var<storage, read> directory: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;

// What the lanes of a row take: an id and its position.
struct Named {
    b: u32,
    id: u32,
    ours: bool,  // whether there is one, of a row of this page
}

fn named_by(invocation: Invocation) -> Named {
    let b = unit_of(invocation, lanes);
    if b >= params.count {
        return Named(b, 0u, false);
    }
    return Named(b, ids[b], is_here(ids[b]));
}
