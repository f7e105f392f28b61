//! `verify`: an offline check of a store, every byte of it that matters, of its indexes against its records, and of its pointers and
//! rules against its schema. The last also of a store in use ([`live`]).
//!
//! Contract: nothing is written. Checked are all copies of the superblock; every page of the checkpoints that count, and of the
//! records that these name; every page of every log from where the older of them begins, its checksum, its place and
//! its link to the page before; every record in them, key and value; every summary there against the records it stands for; and then
//! the engine itself is recovered on the bytes, in memory, and every pair that its indexes lead to is compared with the last
//! valid record of the checkpoint and the log behind it, both ways. Exit 4 when anything is not what was written, with segment, page and
//! table; exit 1 when it is, but pointers lead nowhere or records break their rules. What nobody needs (free segments, dead records of
//! before the checkpoints) is not looked at.
//!
//! What it cannot tell: a page at the very end of the last log that no later page vouches for may have been torn by a power
//! failure. It counts as damage only if all of it was written, and only where no older page can lie beneath it.

use crate::args::{Target, Verify};
use crate::failure::{DAMAGE, Exit, Failure};
use crate::offline::Overlay;
use crate::output::{Format, Output, count_text};
use domains::config::Config;
use domains::index::HashConfig;
use domains::persistent;
use lostore::Store;
use segments::blocking::Blocking;
use segments::superblock::{
    CopyFound, SUPERBLOCK_COPIES, SUPERBLOCK_COPY_PAGES, Superblock, SuperblockError, copy_page,
};
use segments::{EpochId, PageNo, TableId};
use serde_json::{Value, json};
use std::path::Path;

mod checkpoints;
mod compare;
mod live;
mod log;
mod named;
mod pairs;
pub(crate) mod pointers;

use compare::Offline;
use log::Walk;
use pairs::Pairs;
use pointers::{Sheet, State};

/// Something that is not what was written.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// What kind of thing it is.
    pub(crate) kind: &'static str,
    /// The segment it lies in.
    pub(crate) segment: Option<u32>,
    /// The page of the device.
    pub(crate) page: Option<u64>,
    /// The tables whose pairs are touched, as far as that is known.
    pub(crate) tables: Vec<TableId>,
    /// What is wrong.
    pub(crate) what: String,
}

/// What was checked, and what was found wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<String>,
    pub(crate) copies_good: usize,
    pub(crate) incarnation: u32,
    pub(crate) cut: EpochId,
    pub(crate) segments: u32,
    pub(crate) segments_blank: u32,
    /// Neither in use nor blank: nothing that is needed lies there.
    pub(crate) segments_free: u32,
    /// Checkpoints that count and are whole.
    pub(crate) checkpoints: u32,
    pub(crate) checkpoint_pages: u64,
    /// Records that checkpoints name, each as often as it is named.
    pub(crate) named: u64,
    pub(crate) pages: u64,
    pub(crate) pages_behind_cut: u64,
    pub(crate) records: u64,
    pub(crate) records_behind_cut: u64,
    pub(crate) summaries: u32,
    pub(crate) tables: u64,
    pub(crate) pairs: u64,
    /// Pointers and rules; none when the store could not be recovered.
    pub(crate) schema: Option<Sheet>,
}

impl Report {
    pub(crate) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

pub(crate) fn verify(target: &Target, args: &Verify, output: &mut Output) -> Result<(), Failure> {
    if let Some(pair) = &args.pair {
        return crate::chain::verify_pair(target, pair, output);
    }
    let path = match &args.path {
        Some(path) => path,
        None if target.socket.is_some() => return live::verify(target, args, output),
        None => {
            let help =
                "name a store's directory; or --socket, to check the pointers and rules of a store in use; or --pair";
            return Err(Failure::usage("there is nothing to verify", help));
        }
    };
    let (mut report, names, store) = verified(path)?;
    if let Some(store) = store {
        report.schema = schema(&store, args.limit, &mut report)?;
    }
    print(&report, &names, args.limit, output)?;
    if report.findings.is_empty() {
        return report.schema.as_ref().map_or(Ok(()), live::verdict);
    }
    Err(Failure {
        exit: Exit::Corruption,
        code: Some(DAMAGE),
        what: format!("{} has {} damaged places", path.display(), report.findings.len()),
        help: "restore it from a backup; `lostore inspect` shows what can still be read".to_owned(),
    })
}

/// What a check of a store's bytes came to: what was found, the names of its tables, and the store itself when it could be recovered.
pub(crate) type Verified = (Report, Vec<(TableId, String)>, Option<Store<Offline>>);

/// Checks a store's bytes and indexes.
pub(crate) fn verified(path: &Path) -> Result<Verified, Failure> {
    let mut overlay = Overlay::open(path)?;
    let mut report = Report::default();
    let Some((engine, pairs)) = check(&mut overlay, &mut report)? else { return Ok((report, Vec::new(), None)) };
    let names = pairs.names();
    let store = compare::compare(engine, overlay, pairs, &mut report)?;
    Ok((report, names, store))
}

/// Checks its pointers and rules. Records that cannot be read were found before; then the rest is not looked at.
fn schema(store: &Store<Offline>, limit: u64, report: &mut Report) -> Result<Option<Sheet>, Failure> {
    match pointers::check(store, State::AtRest, limit, &*live::stop_on_interrupt()?) {
        Err(failure) if failure.exit == Exit::Corruption && !report.findings.is_empty() => {
            report.notes.push(format!("pointers and rules are not checked: {}", failure.what));
            Ok(None)
        }
        checked => checked.map(Some),
    }
}

/// Checks superblock and logs; the recovered engine and the pairs of the log, unless there is no superblock to go by.
fn check(overlay: &mut Overlay, report: &mut Report) -> Result<Option<(Option<domains::Engine>, Pairs)>, Failure> {
    let Some(superblock) = superblock(&mut Blocking::new(overlay), report)? else { return Ok(None) };
    report.incarnation = superblock.incarnation.0;
    // What is compared must stay where it is meanwhile.
    let config = Config { reclaims: false, ..Config::default() };
    let (engine, cut) = match persistent::open(overlay, &config) {
        Ok((engine, recovered)) => (Some(engine), Some(recovered.cut)),
        Err(error) => {
            let what = format!("the store cannot be opened: {error}");
            report.find(Finding { kind: "recovery", segment: None, page: None, tables: Vec::new(), what });
            (None, None)
        }
    };
    let hash = HashConfig { key: superblock.hash_key, fingerprint_bits: 64 };
    let pairs = Walk::new(&superblock, hash, report).run(&mut Blocking::new(overlay), cut)?;
    Ok(Some((engine, pairs)))
}

/// The superblock, when two copies agree on one.
fn superblock(device: &mut Blocking<'_>, report: &mut Report) -> Result<Option<Superblock>, Failure> {
    let copy_pages = usize::try_from(SUPERBLOCK_COPY_PAGES).expect("sixteen");
    let mut copies = Vec::new();
    for copy in 0..SUPERBLOCK_COPIES {
        copies.push(device.read(copy_page(copy), copy_pages).ok());
    }
    let bytes = |copy: usize| copies[copy].as_ref().map(segments::Frames::bytes);
    let choice = match Superblock::choose([bytes(0), bytes(1), bytes(2), bytes(3)]) {
        Ok(choice) => choice,
        Err(SuperblockError::Empty | SuperblockError::NotAStore) => {
            return Err(domains::Error::NotAStore { why: "it has no superblock".to_owned() }.into());
        }
        Err(SuperblockError::UnknownFeatures { incompatible }) => {
            return Err(domains::Error::UnknownFeatures { mask: incompatible }.into());
        }
        Err(error) => {
            report.find(Finding {
                kind: "superblock",
                segment: None,
                page: Some(0),
                tables: Vec::new(),
                what: error.to_string(),
            });
            return Ok(None);
        }
    };
    report.copies_good = choice.good.iter().filter(|good| **good).count();
    for copy in choice.stale() {
        // Alone, a copy is judged by what it would be beside three that cannot be read.
        let mut alone = [None; 4];
        alone[usize::from(copy)] = bytes(usize::from(copy));
        let found = match Superblock::choose(alone) {
            Err(SuperblockError::NoQuorum { found }) => found[usize::from(copy)],
            Ok(_) | Err(_) => CopyFound::Foreign,
        };
        if let CopyFound::Valid { sequence } = found {
            report.notes.push(format!(
                "copy {copy} of the superblock is still of update {sequence}: the last one was interrupted, the next open completes it"
            ));
            continue;
        }
        let what =
            format!("copy {copy} of the superblock is {found:?}; the other copies serve, the next open makes it whole");
        let page = Some(copy_page(copy).0);
        report.find(Finding { kind: "superblock", segment: None, page, tables: Vec::new(), what });
    }
    Ok(Some(choice.superblock))
}

/// A page for people: which of which segment.
pub(crate) fn place_text(finding: &Finding) -> String {
    match (finding.segment, finding.page) {
        (Some(segment), Some(page)) => format!("segment {segment}, page {page}"),
        (Some(segment), None) => format!("segment {segment}"),
        (None, Some(page)) => format!("page {page}"),
        (None, None) => "the store".to_owned(),
    }
}

fn print(report: &Report, names: &[(TableId, String)], limit: u64, output: &mut Output) -> Result<(), Failure> {
    let name = |id: &TableId| {
        let named = names.iter().find(|(known, _)| known == id);
        named.map_or_else(|| format!("table {id}"), |(_, name)| name.clone())
    };
    let tables = |finding: &Finding| finding.tables.iter().map(name).collect::<Vec<String>>();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let shown = &report.findings[..report.findings.len().min(limit)];
    if matches!(output.format, Format::Json | Format::Jsonl) {
        let damage: Vec<Value> = shown
            .iter()
            .map(|finding| {
                json!({
                    "kind": finding.kind, "segment": finding.segment, "page": finding.page,
                    "tables": tables(finding), "what": finding.what,
                })
            })
            .collect();
        let broken = report.schema.as_ref().is_some_and(|sheet| sheet.bad() > 0 || sheet.interrupted);
        return output.document(&json!({
            "ok": report.findings.is_empty() && !broken,
            "schema": report.schema.as_ref().map(live::document),
            "damaged": report.findings.len(),
            "damage": damage,
            "notes": report.notes,
            "superblock_copies_good": report.copies_good,
            "incarnation": report.incarnation,
            "cut": report.cut.to_string(),
            "segments": report.segments,
            "segments_blank": report.segments_blank,
            "segments_free": report.segments_free,
            "checkpoints": report.checkpoints,
            "checkpoint_pages": report.checkpoint_pages,
            "records_named": report.named,
            "pages": report.pages,
            "pages_behind_cut": report.pages_behind_cut,
            "records": report.records,
            "records_behind_cut": report.records_behind_cut,
            "summaries": report.summaries,
            "tables": report.tables,
            "pairs": report.pairs,
        }));
    }
    summary(report, output)?;
    for finding in shown {
        let tables = tables(finding);
        let of = if tables.is_empty() { String::new() } else { format!(" ({})", tables.join(", ")) };
        output.line(&format!("DAMAGE  {}{of}: {}: {}", place_text(finding), finding.kind, finding.what))?;
    }
    if shown.len() < report.findings.len() {
        output.line(&format!("DAMAGE  and {} more places (--limit)", report.findings.len() - shown.len()))?;
    }
    if let Some(sheet) = &report.schema {
        live::text(sheet, output)?;
    }
    let broken = report.schema.as_ref().is_some_and(|sheet| sheet.bad() > 0);
    output.line(match (report.findings.is_empty(), broken) {
        (false, _) => "damaged",
        (true, true) => "whole, but pointers or rules are broken",
        (true, false) => "ok",
    })
}

fn summary(report: &Report, output: &mut Output) -> Result<(), Failure> {
    output.line(&format!(
        "superblock  {} of {SUPERBLOCK_COPIES} copies agree, incarnation {}",
        report.copies_good, report.incarnation
    ))?;
    output.line(&format!(
        "segments    {} in use, {} blank, {} free",
        report.segments, report.segments_blank, report.segments_free
    ))?;
    output.line(&format!(
        "checkpoints {} whole, of {} pages, naming {} records",
        report.checkpoints,
        count_text(report.checkpoint_pages),
        count_text(report.named)
    ))?;
    output.line(&format!(
        "pages       {} of the logs, {} behind the cut {}",
        count_text(report.pages),
        count_text(report.pages_behind_cut),
        report.cut
    ))?;
    output.line(&format!(
        "records     {}, {} behind the cut",
        count_text(report.records),
        count_text(report.records_behind_cut)
    ))?;
    output.line(&format!("summaries   {}", report.summaries))?;
    output.line(&format!("pairs       {} in {} tables", count_text(report.pairs), report.tables))?;
    report.notes.iter().try_for_each(|note| output.line(&format!("note    {note}")))
}

/// The page of the device at which a finding lies, with its segment.
pub(crate) fn at_page(
    kind: &'static str,
    geometry: segments::segment::Geometry,
    page: PageNo,
    tables: Vec<TableId>,
    what: String,
) -> Finding {
    let segment = geometry.segment_of(page).map(|(segment, _)| segment.0);
    Finding { kind, segment, page: Some(page.0), tables, what }
}

#[cfg(test)]
pub(crate) mod tests;
