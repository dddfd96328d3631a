// The sort keys of the occurrences of several steps' triples: those of a step stand together, and among them those of
// a row, users before items.
//import common/grid.wgsl

struct Params {
    batch: u32,        // triples a step
    count: u32,        // occurrences of all steps
    users: u32,        // rows in the user table
    items: u32,        // rows in the item table
    bits: u32,         // of a row
    keys: u32,         // where keys
    occurrences: u32,  // and occurrences are written
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> triples: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;

@compute @workgroup_size(256)
fn prepare(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i >= params.count {
        return;
    }
    let step = i / (3u * params.batch);
    let occurrence = i % (3u * params.batch);
    let id = triples[i];
    // Ids past their table come behind all rows.
    var row = params.users + params.items;
    if occurrence < params.batch {
        row = select(row, id, id < params.users);
    } else {
        row = select(row, params.users + id, id < params.items);
    }
    order[params.keys + i] = (step << params.bits) | row;
    order[params.occurrences + i] = occurrence;
}
