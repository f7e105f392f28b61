//! Stores that write checkpoints, move records and use segments again: what is needed is checked, and nothing else is complained of.

use super::*;
use segments::checkpoint;
use segments::log::scan::{self, DeviceIdentity};
use segments::segment::{Geometry, Purpose};
use std::collections::BTreeMap;

pub(crate) type Content = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// Where a page says of what kind it is, and what one of moved records says.
const TABLE_PAGE: (usize, u8) = (12, 7);

const TABLES: [(&str, TableKind); 2] = [("ordered", TableKind::Ordered), ("hash", TableKind::Hash)];

/// Limits at which everything happens often.
fn busy() -> Options {
    let mut options = Options::default();
    options.config.segment_pages = 16;
    options.config.zero_pages = 4;
    options.config.reclaims = true;
    options.config.spare_segments = 64;
    options.config.reclaim_dead_percent = 30;
    options.config.reclaim_batch_pages = 8;
    options.config.reclaim_interval_nanos = 1;
    options.config.checkpoint_pages = 24;
    options
}

/// What the segments of a store are for, by their headers, and how many of its checkpoints are whole.
fn shape(path: &Path) -> (BTreeMap<&'static str, u32>, usize) {
    let mut overlay = Overlay::open(path).unwrap();
    let mut device = Blocking::new(&mut overlay);
    let superblock = superblock(&mut device, &mut Report::default()).unwrap().unwrap();
    let geometry = Geometry::new(superblock.segment_pages);
    let identity = DeviceIdentity { domain: superblock.domain, salt: superblock.salt, geometry };
    let runs = scan::find_runs(&mut device, &identity).unwrap().runs;
    let mut purposes = BTreeMap::new();
    for run in &runs {
        let purpose = match run.header.purpose {
            Purpose::Log => "log",
            Purpose::Table => "table",
            Purpose::Checkpoint => "checkpoint",
        };
        *purposes.entry(purpose).or_default() += 1;
    }
    let mut whole = 0;
    for found in checkpoint::find(&runs) {
        let read = checkpoint::read(&mut device, &identity, &found, &mut |_, _, _| Ok(())).unwrap();
        whole += usize::from(matches!(read, checkpoint::Read::Whole(_)));
    }
    (purposes, whole)
}

/// Writes until segments have been freed and used again, and calls `see` now and then, with the store still open: the last time when
/// everything is persistent.
pub(crate) fn fill(path: &Path, lives: u32, content: &mut Content, mut see: impl FnMut(bool)) {
    for life in 0..lives {
        let store = Store::new(busy().open_inline(path).unwrap().0);
        let mut number = life * 100_000;
        let mut used_again = 0;
        let mut free_before = 0;
        while used_again < 12 {
            for (name, kind) in TABLES {
                let table = match number % 100_000 {
                    0 if life == 0 => store.create_raw(name, plain_spec(kind, TableHome::Persistent)).unwrap(),
                    _ => store.open_raw(name).unwrap(),
                };
                write(name, &table, number, content);
            }
            number += 1;
            if number.is_multiple_of(53) {
                see(false);
            }
            for _ in 0..4 {
                store.backend().turn();
            }
            let free = store.status().unwrap().segments_free;
            used_again += u32::from(free < free_before);
            free_before = free;
            assert!(number % 100_000 < 60_000, "space does not come back");
        }
        store.force().unwrap();
        see(life + 1 == lives);
        drop(store);
        until_let_go(path);
    }
}

/// Waits until the kernel has let go of what a store held that was closed just now: of one in this very process nobody else waits for it.
fn until_let_go(path: &Path) {
    for _ in 0..10_000_000 {
        match Overlay::open(path) {
            Err(failure) if failure.code == Some(111) => std::thread::yield_now(),
            Ok(_) | Err(_) => return,
        }
    }
    panic!("{} stays in use", path.display());
}

fn write<B: lostore::Backend>(name: &'static str, table: &lostore::RawTable<B>, number: u32, content: &mut Content) {
    let mut put = |key: Vec<u8>, value: Vec<u8>| {
        table.upsert(&key, &value, PutOptions::default()).unwrap();
        content.insert((name, key), value);
    };
    // Most is written over and over, some now and then, a little once.
    put(format!("hot {}", number % 7).into_bytes(), number.to_le_bytes().repeat(200));
    if number % 100_000 < 20 {
        put(format!("cold {number}").into_bytes(), vec![3; 700]);
    }
    if number % 40 == 3 {
        put(b"large".to_vec(), number.to_le_bytes().repeat(3_000));
        put(format!("warm {}", number % 9).into_bytes(), number.to_le_bytes().repeat(90));
    }
    if number % 160 == 5 {
        // Larger than a segment: a run of two, which are used again each by itself.
        put(b"huge".to_vec(), number.to_le_bytes().repeat(20_000));
    }
    if number.is_multiple_of(11) {
        let key = format!("grown {}", number % 3).into_bytes();
        let long = content.get(&(name, key.clone())).is_some_and(|value| value.len() > 6_000);
        if long {
            table.remove(&key).unwrap();
            content.remove(&(name, key));
        } else {
            let more = number.to_le_bytes().repeat(150);
            table.append(&key, &more, PutOptions::default()).unwrap();
            content.entry((name, key)).or_default().extend(more);
        }
    }
}

fn sound(path: &Path) -> Report {
    let (purposes, whole) = shape(path);
    assert!(purposes["table"] > 0 && purposes["checkpoint"] >= 2 && whole >= 2, "{purposes:?}, {whole}");
    let report = checked(path);
    assert!(report.findings.is_empty(), "{purposes:?} {:?}", report.findings);
    assert_eq!(report.checkpoints, 2);
    assert!(report.named > 0 && report.segments_free > 0, "{report:?}");
    report
}

#[test]
fn a_store_that_uses_segments_again_is_found_sound() {
    let dir = tempfile::tempdir().unwrap();
    let (store, crashed) = (dir.path().join("store"), dir.path().join("crashed"));
    let mut content = Content::new();
    let (mut crashes, mut with_checkpoints) = (0, 0);
    fill(&store, 3, &mut content, |is_last| {
        // What a crash would leave here: what was asked of the device may be there or not.
        std::fs::copy(store.join(DATA_FILE), &crashed).unwrap();
        if !is_last {
            let report = checked(&crashed);
            assert!(report.findings.is_empty(), "{:?}", report.findings);
            crashes += 1;
            with_checkpoints += u32::from(report.checkpoints == 2 && report.segments_free > 0);
        }
    });
    assert!(with_checkpoints > 5, "{with_checkpoints} of {crashes}");
    for path in [&store, &crashed] {
        let report = sound(path);
        assert_eq!((report.tables, report.incarnation, report.pairs), (2, 3, content.len() as u64));
    }
}

/// All pairs of a store in a file, or why it is not to be had.
fn pairs(path: &Path) -> Result<Content, Failure> {
    let mut overlay = Overlay::open(path)?;
    let config = Config { reclaims: false, ..Config::default() };
    let (engine, _) = persistent::open(&mut overlay, &config)?;
    let store: Store<Offline> = Store::new(lostore::Inline::new(engine, overlay));
    let mut content = Content::new();
    for (name, _) in TABLES {
        for pair in store.open_raw(name)?.iter() {
            let pair = pair?;
            content.insert((name, pair.key.to_vec()), pair.value.to_vec());
        }
    }
    Ok(content)
}

/// The first page and the footer of the newest checkpoint that is whole.
fn newest(path: &Path) -> (usize, usize) {
    let mut overlay = Overlay::open(path).unwrap();
    let mut device = Blocking::new(&mut overlay);
    let superblock = superblock(&mut device, &mut Report::default()).unwrap().unwrap();
    let geometry = Geometry::new(superblock.segment_pages);
    let identity = DeviceIdentity { domain: superblock.domain, salt: superblock.salt, geometry };
    let runs = scan::find_runs(&mut device, &identity).unwrap().runs;
    let whole = checkpoint::find(&runs).into_iter().find_map(|found| {
        let read = checkpoint::read(&mut device, &identity, &found, &mut |_, _, _| Ok(())).unwrap();
        if let checkpoint::Read::Whole(footer) = read { Some((found, footer)) } else { None }
    });
    let (found, footer) = whole.unwrap();
    let (segment, index) = (footer.pages / superblock.segment_pages, footer.pages % superblock.segment_pages);
    let at = |segment: u32, index: u32| found.segments[segment as usize].run.start().0 + u64::from(index);
    let page = |at: u64| usize::try_from(at).unwrap();
    (page(at(0, 0)), page(at(segment, index)))
}

/// One byte changed in a page that anybody needs is found, and found where it is; where nothing is found, every pair can still be
/// had, from the newest checkpoint and from the one before.
#[test]
fn a_changed_byte_in_any_page_that_is_needed_is_found_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut content = Content::new();
    fill(&store, 2, &mut content, |_| {});
    sound(&store);
    let whole = std::fs::read(store.join(DATA_FILE)).unwrap();
    let copy = dir.path().join("copy");
    let (newest, _) = newest(&store);
    let mut kinds: BTreeMap<&'static str, u32> = BTreeMap::new();
    for (page, bytes) in whole.chunks_exact(PAGE_BYTES).enumerate() {
        if bytes.iter().all(|byte| *byte == 0) || (page < 64 && page % 16 != 0) {
            continue;
        }
        let mut damaged = whole.clone();
        let byte = [40 + page % 40, page * 131 % PAGE_BYTES, page % 40][page % 3];
        damaged[page * PAGE_BYTES + byte] ^= 0x40;
        std::fs::write(&copy, &damaged).unwrap();
        let report = checked(&copy);
        if report.findings.is_empty() {
            assert_eq!(pairs(&copy).unwrap(), content, "page {page} is needed");
            damaged[newest * PAGE_BYTES + 8] ^= 1;
            std::fs::write(&copy, &damaged).unwrap();
            assert_eq!(pairs(&copy).unwrap(), content, "page {page} is needed by the checkpoint before");
            *kinds.entry("not needed").or_default() += 1;
            continue;
        }
        let there = report.findings.iter().find(|finding| finding.page == Some(page as u64));
        let summary = report.findings.iter().find(|finding| finding.kind == "summary");
        let Some(finding) = there.or(summary) else { panic!("page {page}: {:?}", report.findings) };
        *kinds.entry(finding.kind).or_default() += 1;
        if bytes[TABLE_PAGE.0] == TABLE_PAGE.1 && finding.kind == "page" {
            let owner = u32::from_le_bytes(bytes[56..60].try_into().unwrap());
            assert_eq!(finding.tables, [TableId(owner)], "the pairs that are lost are of this table");
            *kinds.entry("moved").or_default() += 1;
        }
    }
    for kind in ["moved", "checkpoint", "page", "segment", "summary", "superblock", "not needed"] {
        assert!(kinds.get(kind).is_some_and(|count| *count > 0), "{kind}: {kinds:?}");
    }
}

/// Nothing but a checkpoint's footer says that it was finished: it is known by what is left of it.
#[test]
fn a_footer_is_known_by_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fill(&store, 1, &mut Content::new(), |_| {});
    sound(&store);
    let (_, footer) = newest(&store);
    let mut bytes = std::fs::read(store.join(DATA_FILE)).unwrap();
    let copy = dir.path().join("copy");
    for byte in (0..144).chain([144, 511, 512, 4095]) {
        bytes[footer * PAGE_BYTES + byte] ^= 1 << (byte % 8);
        std::fs::write(&copy, &bytes).unwrap();
        let report = checked(&copy);
        let found: Vec<_> = report.findings.iter().map(|found| (found.kind, found.page)).collect();
        assert_eq!(found, [("checkpoint", Some(footer as u64))], "byte {byte}");
        assert_eq!(report.checkpoints, 1);
        bytes[footer * PAGE_BYTES + byte] ^= 1 << (byte % 8);
    }
}

/// The next checkpoint is begun when the one before is durable, and an orderly end leaves nothing behind: a page that is blank was lost.
#[test]
fn pages_of_a_checkpoint_that_are_gone_were_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fill(&store, 1, &mut Content::new(), |_| {});
    sound(&store);
    let copy = dir.path().join("copy");
    std::fs::copy(store.join(DATA_FILE), &copy).unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    for (checkpoints, instead) in [(1, "the other one serves"), (0, "there is no other")] {
        let (first, footer) = newest(&copy);
        assert_ne!(first + 1, footer);
        bytes[(first + 1) * PAGE_BYTES..(first + 2) * PAGE_BYTES].fill(0);
        std::fs::write(&copy, &bytes).unwrap();
        let report = checked(&copy);
        let found = report.findings.iter().find(|finding| finding.page == Some(first as u64 + 1)).unwrap();
        assert!(found.kind == "checkpoint" && found.what.contains(instead), "{found:?}");
        assert_eq!(report.checkpoints, checkpoints);
    }
}
