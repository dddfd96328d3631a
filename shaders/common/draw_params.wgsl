    batch: u32,      // triples a step
    first: u32,      // triple of each step that is drawn
    count: u32,      // of them that are drawn
    steps: u32,      // that are drawn
    step: u32,       // the first of them
    seed_low: u32,
    seed_high: u32,
    purpose: u32,
