//! Moving rows to new sizes inside the budget.

use std::collections::VecDeque;
use std::sync::Arc;

use super::RaggedTable;
use crate::device::{Device, Kernel};
use crate::kernels::table::migrate::{Fill, Migrate};
use crate::rows::{Directory, Page, Rows};
use crate::table::ResizePlan;
use crate::table::plan::Fingerprint;
use crate::{Error, Result};

impl RaggedTable {
    /// Plans a resize to these sizes; sizes past the table's rows are new rows.
    ///
    /// # Errors
    /// Those of [`ResizePlan::new`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let table = RaggedTable::new(&Device::cpu(), &[4, 0, 2], TableOptions::default(), &Account::unlimited())?;
    /// let plan = table.plan(&[1, 3, 2, 5])?;
    /// assert_eq!((plan.shrunk_rows(), plan.grown_rows(), plan.new_rows()), (1, 1, 1));
    /// assert_eq!((plan.kept_values(), plan.dropped_values(), plan.new_values()), (3, 3, 8));
    /// assert!(table.plan(&[1, 3]).is_err()); // no row is left out: a row leaves by size 0
    /// # Ok(()) }
    /// ```
    pub fn plan(&self, sizes: &[u32]) -> Result<ResizePlan> {
        ResizePlan::new(&self.rows, sizes)
    }

    /// Bytes that the account would count for this table after the plan.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let account = Account::new(32, Counts::default());
    /// let table = RaggedTable::new(&Device::cpu(), &[4, 2], TableOptions::default(), &account)?;
    /// let plan = table.plan(&[4, 3])?;
    /// assert_eq!((table.used_bytes(), table.counted_bytes_after(&plan)), (32, 36)); // more than the account has
    /// # Ok(()) }
    /// ```
    pub fn counted_bytes_after(&self, plan: &ResizePlan) -> u64 {
        self.counted_bytes_of(plan.to())
    }

    pub(super) fn counted_bytes_of(&self, directory: &Directory) -> u64 {
        self.account.counted_bytes(directory.bytes(self.rows.layout(), self.rows.state_size()))
    }

    /// Adds rows of the given sizes after the last.
    ///
    /// # Errors
    /// Those of [`resize`](Self::resize).
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut table = RaggedTable::new(&Device::cpu(), &[4], TableOptions::default(), &Account::unlimited())?;
    /// table.append_rows(&[0, 2])?;
    /// assert_eq!(table.sizes().collect::<Vec<_>>(), [4, 0, 2]);
    /// # Ok(()) }
    /// ```
    pub fn append_rows(&mut self, sizes: &[u32]) -> Result<()> {
        let all: Vec<u32> = self.sizes().chain(sizes.iter().copied()).collect();
        let plan = self.plan(&all)?;
        self.resize(&plan)
    }

    /// Carries out a plan: what survives keeps its bits, new values are drawn, new state is zero, the count of steps
    /// goes on. Blocks until the old pages are free.
    ///
    /// # Cost
    /// Rows move page by page, and an old page is free as soon as its rows have moved: what is held never passes the
    /// larger of before and after by more than a page. Where rows that grow come before rows that shrink, so that the
    /// new pages would run ahead of the old ones, all rows first move to the sizes that they have before and after, and
    /// then to those that they get: twice the traffic.
    ///
    /// # Errors
    /// [`Error::StalePlan`], [`Error::OverBudget`], or what the device reports. The table is then as before; but if the
    /// device fails after the first of several pages, the rows before some row have moved and the others have not (of
    /// rows that move twice, some have the smaller of both sizes), and rows to be added may be missing. Nothing that
    /// the plan keeps is lost, and another plan may go on.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let account = Account::new(40, Counts::default());
    /// let mut table = RaggedTable::new(&Device::cpu(), &[4, 2], TableOptions::default(), &account)?;
    /// let before = table.read()?;
    /// let plan = table.plan(&[1, 5])?;
    /// table.resize(&plan)?;
    /// let after = table.read()?;
    /// assert_eq!((after[0], &after[1..3]), (before[0], &before[4..6])); // bit for bit; three dims are new
    /// assert!(table.resize(&plan).is_err()); // made for the table as it was
    /// assert!(table.resize(&table.plan(&[4, 5])?).is_err()); // 44 bytes
    /// assert_eq!(table.read()?, after);
    /// # Ok(()) }
    /// ```
    pub fn resize(&mut self, plan: &ResizePlan) -> Result<()> {
        self.resize_with(plan, &mut |device, directory, page, rows| {
            Page::zeroed(device, directory, page, rows.layout().format, rows.state_size())
        })
    }

    fn resize_with(&mut self, plan: &ResizePlan, allocate: &mut Allocate<'_>) -> Result<()> {
        let (wanted, own) = (plan.from(), Fingerprint::of(&self.rows));
        if wanted != own {
            return Err(Error::StalePlan {
                expected_rows: wanted.rows,
                expected_values: wanted.values,
                rows: own.rows,
                values: own.values,
            });
        }
        let (old, new) = (self.used_bytes(), self.counted_bytes_after(plan));
        // After a failure a table may hold more than it may: then it can always get smaller, but not by way of larger
        // rows.
        if plan.new_values() + plan.new_rows() > 0 {
            self.account.check(old, new)?;
        }
        // Room for the larger of both until it is known which one stays: then only room is given back.
        let reserved = old.max(new);
        self.account.exchange(old, reserved)?;
        let moved = self.move_rows(plan.to(), allocate);
        // After a failure between two pages it is neither, and may be more than both by the page where old and new ones
        // meet.
        self.account.settle(reserved, self.used_bytes());
        moved
    }

    fn move_rows(&mut self, to: &Directory, allocate: &mut Allocate<'_>) -> Result<()> {
        let before = self.rows.pages().iter().map(Page::bytes).sum::<u64>();
        let after = (0..to.pages()).map(|page| to.page_bytes(page, self.rows.layout(), self.rows.state_size()));
        let (after, largest) = (after.clone().sum::<u64>(), after.max().unwrap_or(0));
        self.peak_bytes = before;
        if self.peak_of(to) > before.max(after) + largest {
            let through = self.common(to)?;
            self.pass(&through, allocate)?;
        }
        self.pass(to, allocate)
    }

    /// The most that moving to a directory at once would hold.
    fn peak_of(&self, to: &Directory) -> u64 {
        let mut old: VecDeque<_> =
            self.rows.pages().iter().map(|page| (page.place.first + page.place.rows, page.bytes())).collect();
        let mut held = old.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let mut peak = held;
        for page in 0..to.pages() {
            held += to.page_bytes(page, self.rows.layout(), self.rows.state_size());
            peak = peak.max(held);
            let (place, _) = to.place(page);
            while let Some((_, bytes)) = old.pop_front_if(|(end, _)| *end <= place.first + place.rows) {
                held -= bytes;
            }
        }
        peak
    }

    /// The rows that there are at the smaller of both sizes, with a page ending wherever one of both directories ends
    /// one: an old page is free when the pages within it are written, and these are when the new page around them is.
    fn common(&self, to: &Directory) -> Result<Directory> {
        let mut sizes = Vec::with_capacity(self.rows() as usize);
        sizes.extend(self.sizes().zip(to.sizes()).map(|(old, new)| old.min(new)));
        let mut cuts: Vec<u32> = self.rows.pages().iter().map(Page::first_row).chain(to.first_rows()).collect();
        cuts.sort_unstable();
        Directory::cut(self.device(), &sizes, (self.rows.layout(), self.rows.state_size()), &cuts)
    }

    /// Moves all rows to a directory, page by page.
    fn pass(&mut self, to: &Directory, allocate: &mut Allocate<'_>) -> Result<()> {
        let device = self.device().clone();
        let (layout, state, fill) = (self.rows.layout(), self.rows.state_size(), self.fill());
        let mut old = VecDeque::from(self.rows.take_pages());
        let mut held: u64 = old.iter().map(Page::bytes).sum();
        let mut new: Vec<Page> = Vec::with_capacity(to.pages());
        let mut failure = None;
        for number in 0..to.pages() {
            let shape = Rows::in_pages(&device, Vec::new(), (layout, state));
            let moved = allocate(&device, to, number, &shape).and_then(|mut page| {
                held += page.bytes();
                self.peak_bytes = self.peak_bytes.max(held);
                move_page(&device, old.make_contiguous(), &mut page, (to.widest(), fill))?;
                Ok(page)
            });
            match moved {
                Ok(page) => {
                    let end = page.place.first + page.place.rows;
                    new.push(page);
                    while let Some(page) = old.pop_front_if(|page| page.place.first + page.place.rows <= end) {
                        held -= page.bytes();
                    }
                    if let Some(gpu) = device.as_gpu() {
                        // Lets the old pages go. The move has been waited for and checked; what comes now is for the
                        // next check.
                        let _ = gpu.poll(wgpu::PollType::wait_indefinitely());
                    }
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if failure.is_some() {
            // What is there twice stays where it was; only rows to be added may be missing behind the last.
            let begin = old.front().map_or(u32::MAX, Page::first_row);
            new.retain(|page| page.place.first < begin);
            new.iter_mut().for_each(|page| page.truncate(begin));
            new.extend(old);
        }
        let largest = self.rows.largest_expected();
        self.rows = Rows::in_pages(&device, new, (layout, state));
        self.rows.expect(largest);
        self.pages = Arc::default();
        failure.map_or(Ok(()), Err)
    }
}

/// Makes a page of a directory for rows of a layout.
type Allocate<'a> = dyn FnMut(&Device, &Directory, usize, &Rows) -> Result<Page> + 'a;

/// Waits until the rows are there.
fn move_page(device: &Device, from: &[Page], to: &mut Page, (widest, fill): (u32, Fill)) -> Result<()> {
    Migrate { from, to, widest, fill }.run(device)?;
    device.wait()
}

#[cfg(test)]
mod tests;
