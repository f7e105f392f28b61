use super::*;
use domains::schema::{TableHome, TableKind};
use lostore::open::DATA_FILE;
use lostore::{Options, PutOptions, Store, plain_spec};
use segments::PAGE_BYTES;

pub(crate) mod reused;

/// A store that is all log, with three lives, sealed segments, a record of many pages, and tables of each kind.
fn fill(dir: &Path) {
    let mut options = Options::default();
    options.config.segment_pages = 16;
    options.config.reclaims = false;
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

/// Two tables whose pointers are of every kind, and fields with rules that some records break.
mod pointed {
    use lostore::{Ptr, TableType};

    #[derive(TableType)]
    #[table(hash, name = "thing")]
    pub(super) struct Thing {
        #[key]
        pub(super) id: u64,
    }

    #[derive(TableType)]
    #[table(ordered)]
    pub(super) struct Holder {
        #[key]
        pub(super) name: String,
        pub(super) thing: Ptr<Thing>,
        #[pointer("gone")]
        pub(super) other: Ptr<Thing>,
        #[range(1..=100)]
        pub(super) age: u32,
        #[required]
        pub(super) must: Ptr<Thing>,
    }

    /// The same without rules: who writes so can break them.
    #[derive(TableType)]
    #[table(ordered)]
    pub(super) struct Careless {
        #[key]
        pub(super) name: String,
        pub(super) thing: Ptr<Thing>,
        #[pointer("gone")]
        pub(super) other: Ptr<Thing>,
        pub(super) age: u32,
        pub(super) must: Ptr<Thing>,
    }
}

/// 1,000 holders: of 0..1000 every 10th dangles, of those ending in 1 the target has expired, in 2 the pointer is null, in 3 it
/// is no key of the table; one is too old, one lacks what it must have, one is no record at all.
fn plant<B: lostore::Backend>(store: &Store<B>) {
    use lostore::Ptr;
    use pointed::{Careless, Holder, Thing};
    let things = store.table::<Thing>("thing").unwrap();
    store.table::<Holder>("holder").unwrap();
    let holders = store.table::<Careless>("holder").unwrap();
    let mut txn = store.txn();
    for id in 0..1000_u64 {
        let expired = PutOptions { expires_ms: (id % 10 == 1).then_some(1), ..PutOptions::default() };
        if id % 10 != 0 {
            txn.upsert_with(&things, &Thing { id }, expired).unwrap();
        }
        let thing = match id % 10 {
            2 => Ptr::null(),
            3 => Ptr::from_key(lostore::schema::keys::KeyBuf::from(&b"abc"[..])),
            _ => Ptr::to(id),
        };
        let other = if id == 7 { Ptr::to(7) } else { Ptr::null() };
        let age = if id == 8 { 101 } else { 1 + u32::try_from(id % 100).unwrap() };
        let must = if id == 9 { Ptr::null() } else { Ptr::to(4) };
        txn.upsert(&holders, &Careless { name: format!("h{id:03}"), thing, other, age, must }).unwrap();
    }
    txn.commit().unwrap();
    holders.raw().upsert(b"zzz\0\x01", b"not a record", PutOptions::default()).unwrap();
    store.force().unwrap();
}

fn check_planted(sheet: &Sheet) {
    let counts = |field: &str| {
        let tally = sheet.fields.iter().find(|tally| tally.field == field).unwrap();
        [tally.found, tally.null, tally.dangling, tally.expired, tally.wrong_table, tally.broken]
    };
    assert_eq!(counts("thing"), [600, 100, 100, 100, 100, 0]);
    assert_eq!(counts("other"), [0, 999, 0, 0, 1, 0]);
    assert_eq!(counts("age"), [0, 0, 0, 0, 0, 1]);
    assert_eq!(counts("must"), [999, 1, 0, 0, 0, 1]);
    assert_eq!((sheet.pairs, sheet.unreadable, sheet.bad()), (1001, 1, 304));
    let named = |kind: &str| -> Vec<&str> {
        sheet.breaches.iter().filter(|breach| breach.kind == kind).map(|breach| &*breach.key).collect()
    };
    assert_eq!(named("dangling"), ["h000", "h010", "h020"], "the first of each field, by their keys");
    assert_eq!(named("expired"), ["h001", "h011", "h021"]);
    assert_eq!(named("wrong table"), ["h003", "h007", "h013", "h023"]);
    assert_eq!(named("rule"), ["h008", "h009"]);
    assert_eq!(named("record"), ["zzz"]);
    let said = |key: &str| sheet.breaches.iter().find(|breach| breach.key == key).map(|breach| &*breach.what);
    assert_eq!(said("h010"), Some("leads to thing/10, which is not there"));
    assert_eq!(said("h011"), Some("leads to thing/11, whose time is over"));
    assert_eq!(said("h007"), Some("leads to table 'gone', which is not there"));
    assert_eq!(said("h008"), Some("is 101 and must lie between 1 and 100"));
    assert_eq!(said("h009"), Some("is null and must not be"));
}

#[test]
fn pointers_and_rules_are_checked_by_what_the_catalog_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = lostore::open_inline(&path).unwrap();
    plant(&store);
    let stop = std::sync::atomic::AtomicBool::new(false);
    check_planted(&pointers::check(&store, State::InUse, 3, &stop).unwrap());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let ended = pointers::check(&store, State::InUse, 3, &stop).unwrap();
    assert!(ended.interrupted && ended.pairs == 0);
    assert_eq!(live::verdict(&ended).unwrap_err().exit, Exit::No);
    drop(store);
    // The same of its bytes, at rest.
    let (report, _, store) = verified(&path).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sheet = pointers::check(&store.unwrap(), State::AtRest, 3, &stop).unwrap();
    check_planted(&sheet);
    let failure = live::verdict(&sheet).unwrap_err();
    assert_eq!((failure.exit, failure.code), (Exit::No, Some(SCHEMA_CODE)));
}

const SCHEMA_CODE: u16 = 606;

/// The metadata service's tree has pointers, and all of them lead somewhere.
#[test]
fn a_tree_of_the_metadata_service_is_as_its_schema_says() {
    use mdservice::{Attributes, MdService, ROOT};
    let store = lostore::open_memory().unwrap();
    let service = MdService::open(&store).unwrap();
    for directory in 0..5_u8 {
        let made = service.mkdir(ROOT, &[b'a' + directory], &Attributes::new(0o755)).unwrap();
        for file in 0..20_u8 {
            service.create(made.ino, &[b'a' + file], &Attributes::new(0o644)).unwrap();
        }
    }
    let sheet = pointers::check(&store, State::InUse, 100, &std::sync::atomic::AtomicBool::new(false)).unwrap();
    assert_eq!((sheet.bad(), sheet.unreadable), (0, 0), "{:?}", sheet.breaches);
    let dirents = sheet.fields.iter().find(|tally| tally.table == "dirent" && tally.field == "inode").unwrap();
    assert_eq!((dirents.found, dirents.null), (105, 0), "{sheet:?}");
}

/// Records that survive point to some that do not: while the store runs they are judged, at rest they cannot be.
#[test]
fn pointers_to_volatile_tables_are_not_judged_at_rest() {
    use lostore::{Ptr, TableType};

    #[derive(TableType)]
    #[table(hash, volatile)]
    struct Fleeting {
        #[key]
        id: u64,
    }

    #[derive(TableType)]
    struct Lasting {
        #[key]
        id: u64,
        to: Ptr<Fleeting>,
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = lostore::open_inline(&path).unwrap();
    let fleeting = store.table::<Fleeting>("fleeting").unwrap();
    let lasting = store.table::<Lasting>("lasting").unwrap();
    fleeting.insert(&Fleeting { id: 1 }).unwrap();
    for id in 1..4 {
        lasting.insert(&Lasting { id, to: Ptr::to(id) }).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let counts = |sheet: &Sheet| {
        let [tally] = &sheet.fields[..] else { panic!("{sheet:?}") };
        [tally.found, tally.dangling, tally.unjudged, sheet.bad()]
    };
    assert_eq!(counts(&pointers::check(&store, State::InUse, 9, &stop).unwrap()), [1, 2, 0, 2]);
    store.force().unwrap();
    drop((store, fleeting, lasting));
    let (report, _, store) = verified(&path).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(counts(&pointers::check(&store.unwrap(), State::AtRest, 9, &stop).unwrap()), [0, 0, 3, 0]);
}
