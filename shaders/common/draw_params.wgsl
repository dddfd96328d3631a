    batch: u32,      // triples
    step: u32,
    seed_low: u32,
    seed_high: u32,
    purpose: u32,
