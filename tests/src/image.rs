//! What a device holds: pages that are shared between copies until one of them is written.
//!
//! Invariant: a page that was never written reads as zeros and takes no memory; a copy of an image costs a pointer a page.

use crate::rng::Rng;
use crate::trace::Trace;
use segments::PAGE_BYTES;
use std::sync::Arc;

/// Bytes that a device writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// The bytes of a page.
pub type PageBytes = [u8; PAGE_BYTES];

/// A page of an image: `None` is all zeros.
pub type Slot = Option<Arc<PageBytes>>;

const ZEROS: PageBytes = [0; PAGE_BYTES];

/// The pages of a device at one moment.
#[derive(Clone, Default)]
pub struct Image {
    pages: Vec<Slot>,
}

/// What becomes of one page of a write at a power failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is there.
    Keep,
    /// It is not.
    Drop,
    /// Each sector is new, old or garbage.
    Tear,
}

impl Image {
    /// `pages` pages of zeros.
    #[must_use]
    pub fn zeroed(pages: u64) -> Self {
        Self { pages: vec![None; usize::try_from(pages).expect("a simulated device fits memory")] }
    }

    /// Length in pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// The bytes of page `at`.
    ///
    /// # Panics
    /// If it is past the end.
    #[must_use]
    pub fn page(&self, at: u64) -> &PageBytes {
        self.slot(at).as_deref().unwrap_or(&ZEROS)
    }

    /// The bytes of page `at`, to be changed: damage, planted.
    ///
    /// # Panics
    /// If it is past the end.
    pub fn page_mut(&mut self, at: u64) -> &mut PageBytes {
        let slot = &mut self.pages[place(at)];
        Arc::make_mut(slot.get_or_insert_with(|| Arc::new(ZEROS)))
    }

    /// Makes the image at least this long.
    pub fn grow(&mut self, pages: u64) {
        let pages = place(pages).max(self.pages.len());
        self.pages.resize(pages, None);
    }

    /// Cuts or extends the image to this length, as somebody with a file tool would.
    pub fn set_pages(&mut self, pages: u64) {
        self.pages.resize(place(pages), None);
    }

    /// Hash of all bytes.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut trace = Trace::new();
        for at in 0..self.pages() {
            trace.note_bytes(self.page(at));
        }
        trace.value()
    }

    pub(crate) fn slot(&self, at: u64) -> &Slot {
        &self.pages[place(at)]
    }

    pub(crate) fn put(&mut self, at: u64, slot: Slot) {
        self.pages[place(at)] = slot;
    }

    /// Puts a page of a write, as `fate` has it. Past the end it is lost: the growth that made room for it was.
    pub(crate) fn put_by_fate(&mut self, at: u64, new: &Slot, fate: Fate, rng: &mut Rng) {
        if at >= self.pages() {
            return;
        }
        match fate {
            Fate::Keep => self.put(at, new.clone()),
            Fate::Drop => {}
            Fate::Tear => {
                let torn = torn(self.page(at), new.as_deref().unwrap_or(&ZEROS), rng);
                self.put(at, Some(Arc::new(torn)));
            }
        }
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} pages)", self.pages())
    }
}

/// A page of which each sector is old, new or garbage; garbage is the rarest, as a device seldom makes it.
fn torn(old: &PageBytes, new: &PageBytes, rng: &mut Rng) -> PageBytes {
    let mut page = *old;
    for at in (0..PAGE_BYTES).step_by(SECTOR_BYTES) {
        let sector = &mut page[at..at + SECTOR_BYTES];
        match rng.below(8) {
            0..=2 => {}
            3..=6 => sector.copy_from_slice(&new[at..at + SECTOR_BYTES]),
            _ => rng.fill(sector),
        }
    }
    page
}

fn place(at: u64) -> usize {
    usize::try_from(at).expect("a simulated device fits memory")
}
