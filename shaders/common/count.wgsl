// How many of the ids (or bags) that a dispatch has room for are used. The shader has `params.used`, as many as the
// host knows of, and
// binds `used_on_device`: something else where the host knows.
override counted: u32 = 0u;  // 1 where the device knows how many of these are used

fn in_use() -> u32 {
    if counted == 1u {
        return min(params.used, used_on_device[0]);
    }
    return params.used;
}
