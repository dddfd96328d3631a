    one_a_row: u32,  // 1 where there is one number a row, wherever the rows begin
    key_low: u32,    // seed
    key_high: u32,
    purpose: u32,
    zero_dims: u32,  // leading dims that start at zero
    scale: f32,      // std / 2^20; 0 starts every dim at zero
