    page_first_row: u32,  // of the page
    page_rows: u32,       // of the page
    page_blocks: u32,     // words of its directory before the rows' ends
    page_shift: u32,      // log2 of the rows of a block
    page_alignment: u32,  // rows begin at multiples of it
