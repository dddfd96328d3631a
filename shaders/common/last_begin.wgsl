// Of `count` stretches that begin where a buffer says, the last one that begins at or before an element: those before
// it of the same beginning are empty. Imported as `common/last_begin.wgsl as bags of u32`.
fn last_of_LIST(element: u32, count: u32) -> u32 {
    var low = 0u;
    var high = count;
    while high - low > 1u {
        let middle = (low + high) >> 1u;
        if LIST[middle] <= element {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
