use super::*;
use domains::schema::{TableHome, TableKind};
use lostore::open::DATA_FILE;
use lostore::{Options, PutOptions, Store, plain_spec};
use segments::PAGE_BYTES;

/// A store with three lives, sealed segments, a record of many pages, and tables of each kind.
fn fill(dir: &Path) {
    let mut options = Options::default();
    options.config.segment_pages = 16;
    for life in 0..3_u32 {
        let store = Store::new(options.open_inline(dir).unwrap().0);
        for (name, kind) in [("ordered", TableKind::Ordered), ("hash", TableKind::Hash)] {
            let table = match life {
                0 => store.create_raw(name, plain_spec(kind, TableHome::Persistent)).unwrap(),
                _ => store.open_raw(name).unwrap(),
            };
            for number in 0..300_u32 {
                let key = format!("{name} {}", (number + life * 100) % 350);
                table.upsert(key.as_bytes(), &[b'v'; 150], PutOptions::default()).unwrap();
            }
            table.upsert(b"large", &vec![7; 30_000], PutOptions::default()).unwrap();
            for bytes in [5_000, 100, 9_000, 1] {
                table.append(b"grown", &vec![8; bytes], PutOptions::default()).unwrap();
            }
            table.remove(format!("{name} {life}").as_bytes()).unwrap();
        }
        store.force().unwrap();
    }
}

fn checked(path: &Path) -> Report {
    verified(path).unwrap().0
}

#[test]
fn a_sound_store_is_found_sound_and_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fill(&store);
    let before = std::fs::read(store.join(DATA_FILE)).unwrap();
    let report = checked(&store);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.copies_good, report.incarnation, report.tables), (4, 3, 2));
    assert!(report.summaries > 3 && report.pages > 50, "{report:?}");
    // Of 350 keys, a large one and one that grew, the one removed in the last life stays away.
    assert_eq!((report.pairs, report.records_behind_cut), (2 * (350 + 2 - 1), 0));
    assert_eq!(std::fs::read(store.join(DATA_FILE)).unwrap(), before);
}

/// One byte changed anywhere in what the store has written is found, and found where it is.
#[test]
fn a_changed_byte_in_any_page_is_found_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fill(&store);
    let whole = std::fs::read(store.join(DATA_FILE)).unwrap();
    let copy = dir.path().join("copy");
    let mut pages = 0;
    for (page, bytes) in whole.chunks_exact(PAGE_BYTES).enumerate() {
        // Of the superblock's copies the later pages hold nothing but zeros.
        if bytes.iter().all(|byte| *byte == 0) || (page < 64 && page % 16 != 0) {
            continue;
        }
        pages += 1;
        let mut damaged = whole.clone();
        damaged[page * PAGE_BYTES + 40 + page % 40] ^= 0x40;
        std::fs::write(&copy, &damaged).unwrap();
        let report = checked(&copy);
        let there = report.findings.iter().any(|finding| finding.page == Some(page as u64));
        // A summary of several pages is one thing: its first page names it.
        let summary = report.findings.iter().any(|finding| finding.kind == "summary");
        assert!(there || summary, "page {page}: {:?}", report.findings);
    }
    assert!(pages > 60, "{pages}");
}

#[test]
fn a_store_that_ends_early_or_begins_wrong_is_damage_or_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fill(&store);
    let whole = std::fs::read(store.join(DATA_FILE)).unwrap();
    let copy = dir.path().join("copy");
    std::fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
    assert!(!checked(&copy).findings.is_empty());
    let mut damaged = whole.clone();
    for copy in 0..3 {
        damaged[copy * 16 * PAGE_BYTES + 100] ^= 1;
    }
    std::fs::write(&copy, &damaged).unwrap();
    assert_eq!(checked(&copy).findings[0].kind, "superblock");
    std::fs::write(&copy, vec![b'x'; 1 << 20]).unwrap();
    let mut overlay = Overlay::open(&copy).unwrap();
    let failure = check(&mut overlay, &mut Report::default()).unwrap_err();
    assert_eq!(failure.code, Some(101));
}

#[test]
fn a_store_that_is_open_is_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let open = lostore::open_inline(&store).unwrap();
    assert_eq!(Overlay::open(&store).err().unwrap().code, Some(111));
    drop(open);
    assert!(checked(&store).findings.is_empty());
}
