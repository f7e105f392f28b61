//! The checks of a commit: every compare against what is there, and what each update makes of it.
//!
//! Contract: exact, and of one moment once nothing is missing any more. What it takes to know and is not in memory is named, to be
//! read; when it has come the checks go on where it was missing, and at last look at everything afresh.

use super::super::core::{Core, Old, Restores};
use super::super::extend::{COPIED_BYTES_MAX, Grown, OrPlaces, check_total, spend};
use super::super::find::{Found, Known, Located, Sight, Want};
use super::super::ops::READ_PAGES_AT_ONCE;
use super::super::records::place_of;
use super::super::rewrite::check_token;
use super::super::table::{Index, Table};
use super::{Commit, READS_AT_ONCE};
use crate::error::{Error, Failure};
use crate::index::{Address, Loc};
use crate::schema::TableHome;
use crate::seam::Tick;
use segments::record::{Extent, Extents};
use segments::{PAGE_BYTES, Place, Version};
use smallvec::SmallVec;
use txn::{Change, Expect, Part, PutOptions};

/// Where checks go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resume {
    /// The first part whose record had to be read last: those before it need not be looked at until all have come.
    part: usize,
    /// How many bytes of earlier appends may be copied from that part on.
    budget: usize,
}

impl Default for Resume {
    fn default() -> Self {
        Self { part: 0, budget: COPIED_BYTES_MAX }
    }
}

/// What became of one part's checks.
enum Checked {
    Holds(Old),
    Fails {
        found: Option<Version>,
    },
    /// These must be read first; for their values too when they are to be written again.
    Unread {
        places: Vec<Place>,
        whole: bool,
    },
}

/// What one round of checks lacks.
#[derive(Default)]
struct Lacking {
    places: Vec<Place>,
    pages: u32,
}

impl Lacking {
    fn add(&mut self, places: Vec<Place>) {
        for place in places {
            if !self.places.contains(&place) {
                self.pages += place.pages();
                self.places.push(place);
            }
        }
    }

    fn is_enough(&self) -> bool {
        self.places.len() >= READS_AT_ONCE || self.pages >= READ_PAGES_AT_ONCE
    }
}

impl Commit {
    /// Verifies every compare; says what each key's pair is now, or which records must be read to know.
    pub(super) fn check(&mut self, core: &Core, now: Tick) -> Result<Result<SmallVec<[Old; 4]>, Vec<Place>>, Error> {
        loop {
            let from = core::mem::take(&mut self.resumes);
            let (mut olds, mut lacking, mut budget) = (SmallVec::new(), Lacking::default(), from.budget);
            let mut failures = Vec::new();
            for number in from.part..self.set.len() {
                let part = self.set.part(number).expect("the set has so many parts");
                let before = budget;
                let staged = core.staged(self.set.stage(), &part)?;
                match check_one(core, (&part, &staged), &self.known, now, &mut budget)? {
                    Checked::Holds(old) => olds.push(old),
                    Checked::Unread { places, whole } => {
                        if whole {
                            self.known.want_whole(&places);
                        }
                        if lacking.places.is_empty() {
                            self.resumes = Resume { part: number, budget: before };
                        }
                        lacking.add(places);
                        if lacking.is_enough() {
                            break;
                        }
                    }
                    Checked::Fails { found } => {
                        let part = u32::try_from(number).expect("a set has at most 65,536 parts");
                        failures.push(Failure { part, found });
                    }
                }
            }
            let mut unread = lacking.places;
            if unread.is_empty() && from.part == 0 {
                let strangers = self.strangers(core, now)?;
                failures.extend(strangers.failures);
                unread = strangers.unread;
            }
            match (unread.is_empty(), from.part, failures.is_empty()) {
                (false, _, _) => return Ok(Err(unread)),
                (true, 0, true) => return Ok(Ok(olds)),
                (true, 0, false) => return Err(Error::CompareFailed { failures }),
                (true, _, _) => {}
            }
        }
    }
}

/// What a part's compare and change find. `budget` is how many bytes of earlier appends may still be copied.
/// `staged` is what was written out of the part's value.
fn check_one(
    core: &Core,
    (part, staged): (&Part<'_>, &[Extent]),
    known: &Known,
    now: Tick,
    budget: &mut usize,
) -> Result<Checked, Error> {
    let table = core.table(part.table)?;
    if let Change::Revert { token } | Change::Seal { token } = part.change {
        check_token(core, table, token)?;
    }
    let sought = core.sought(table, part.key);
    let appends = matches!(part.change, Change::Append { .. });
    let head = appends || matches!(part.expect, Expect::At(_) | Expect::Never);
    let mut located = core.locate(table, sought, known, if head { Want::Head } else { Want::Place }, now)?;
    let holds = match (&located, part.expect) {
        (Located::Unread { places }, _) => return Ok(unread_head(places, appends, budget)),
        (_, Expect::Never) => false,
        (Located::Present { .. }, Expect::Absent) => false,
        (Located::Absent | Located::Expired { .. }, Expect::Present | Expect::At(_)) => false,
        (Located::Present { found, .. }, Expect::At(version)) => {
            found.as_ref().is_some_and(|found| found.version == version)
        }
        (_, Expect::Any | Expect::Absent | Expect::Present) => true,
    };
    if !holds {
        // The answer names the version that is there, so the record itself is wanted now.
        if matches!(located, Located::Present { found: None, .. }) {
            located = core.locate(table, sought, known, Want::Head, now)?;
        }
        return Ok(match located {
            Located::Unread { places } => Checked::Unread { places, whole: false },
            Located::Present { found, .. } => Checked::Fails { found: found.map(|found| found.version) },
            Located::Absent | Located::Expired { .. } => Checked::Fails { found: None },
        });
    }
    if matches!(located, Located::Absent) {
        check_address(table, part)?;
    }
    let hash = sought.hash;
    let old = match located {
        Located::Present { loc, found } => {
            match updated(core, table, (part, staged), (loc, found), known, now, budget)? {
                Ok(old) => Old { hash, ..old },
                Err(places) => return Ok(Checked::Unread { places, whole: true }),
            }
        }
        Located::Expired { loc } => Old { hash, loc: Some(loc), bytes: table.record_bytes_mean(), ..Old::default() },
        Located::Absent | Located::Unread { .. } => Old { hash, ..Old::default() },
    };
    let grown = old.grown.or_else(|| made_of(part, staged));
    Ok(Checked::Holds(Old { grown, ..old }))
}

/// What a part makes of its key whatever was there, when its value was written out.
fn made_of(part: &Part<'_>, staged: &[Extent]) -> Option<Box<Grown>> {
    let (Change::Put { value, options } | Change::Append { value, options }) = part.change else { return None };
    let extents = (!staged.is_empty()).then(|| Extents::encode(staged))?;
    Some(Box::new(Grown { extents, value: value.to_vec(), options, in_place: false, shared_bytes: 0 }))
}

/// Of a record that is not in memory the head is wanted. An append to one that fits a page will copy its value: then it is read
/// once for both, while that much may still be copied.
fn unread_head(places: &[Place], appends: bool, budget: &mut usize) -> Checked {
    let whole = appends && places.iter().all(|place| place.pages() == 1) && *budget >= PAGE_BYTES;
    *budget -= if whole { PAGE_BYTES } else { 0 };
    Checked::Unread { places: places.to_vec(), whole }
}

/// A sack takes new pairs under addresses that it has set aside.
fn check_address(table: &Table, part: &Part<'_>) -> Result<(), Error> {
    let (Index::Sack(sack), Change::Put { .. } | Change::Append { .. }) = (&table.index, part.change) else {
        return Ok(());
    };
    if Address::decode(part.key).is_some_and(|address| sack.is_reserved(address)) {
        return Ok(());
    }
    let want = "an address that the store has set aside for an insert";
    Err(Error::BadKey { table: part.table, bytes: part.key.len(), want })
}

/// What a pair that is there is, and what the part's update makes of it.
fn updated(
    core: &Core,
    table: &Table,
    (part, staged): (&Part<'_>, &[Extent]),
    (loc, found): (Loc, Option<Found<'_>>),
    known: &Known,
    now: Tick,
    budget: &mut usize,
) -> Result<OrPlaces<Old>, Error> {
    let (mut restores, mut grown) = (Restores::Nothing, None);
    match (part.change, &found) {
        (Change::Revert { .. } | Change::Seal { .. }, Some(found)) => {
            match core.restores(table, part, (loc, found), known, now)? {
                Ok(what) => restores = what,
                Err(places) => return Ok(Err(places)),
            }
        }
        (Change::Append { value, options }, Some(found)) => {
            match append_to(core, table, (loc, found), (staged, value, options), known, budget)? {
                Ok(what) => grown = Some(Box::new(what)),
                Err(places) => return Ok(Err(places)),
            }
        }
        (_, _) => {}
    }
    let bytes = match found {
        Some(found) => Some(found.live_bytes),
        None => match core.found_at(table, loc, known, Want::Head) {
            Ok(Sight::Found(found)) => Some(found.live_bytes),
            Ok(Sight::Unread(_)) | Err(_) => None,
        },
    };
    let bytes = bytes.unwrap_or_else(|| table.record_bytes_mean());
    Ok(Ok(Old { hash: None, loc: Some(loc), bytes, live: true, restores, grown }))
}

/// What an append makes of a record that is there.
fn append_to(
    core: &Core,
    table: &Table,
    (loc, found): (Loc, &Found<'_>),
    (staged, value, options): (&[Extent], &[u8], PutOptions),
    known: &Known,
    budget: &mut usize,
) -> Result<OrPlaces<Grown>, Error> {
    if table.home() == TableHome::Persistent {
        return core.grown(table, place_of(loc), found, (staged, value, options), known, budget);
    }
    check_total(found.total_bytes + value.len())?;
    let options = txn::appended(found.options(), options);
    // A record that a revert may bring back, or that one may bring back later, stays as it is.
    if found.revertible.is_none() && options.revertible_ms.is_none() {
        let (extents, value) = (Vec::new(), Vec::new());
        return Ok(Ok(Grown { extents, value, options, in_place: true, shared_bytes: 0 }));
    }
    spend(budget, found.total_bytes)?;
    let Sight::Found(found) = core.found_at(table, loc, known, Want::Record)? else {
        unreachable!("volatile records are in memory")
    };
    let value = [found.value(), value].concat();
    Ok(Ok(Grown { extents: Vec::new(), value, options, in_place: false, shared_bytes: 0 }))
}
