use super::*;
use domains::schema::{TableHome, TableKind};
use domains::{ErrorKind, Level, Persistence, TableSpec};
use txn::{CommitSet, PutOptions};

fn options() -> Options {
    let config = Config { segment_pages: 256, zero_pages: 16, ..Config::default() };
    Options { config, ..Options::default() }
}

fn wait<B: Backend>(backend: &B, op: Op) -> Result<Answer, Error> {
    backend.wait(backend.start(op)?)
}

fn table<B: Backend>(backend: &B) -> TableId {
    let spec = TableSpec::plain(TableKind::Hash, TableHome::Persistent);
    let opened = wait(backend, Op::OpenTable { name: "t".into(), spec: None })
        .or_else(|_| wait(backend, Op::CreateTable { name: "t".into(), spec }));
    let Ok(Answer::Table(info)) = opened else { panic!("{opened:?}") };
    info.id
}

fn put<B: Backend>(backend: &B, table: TableId, key: &[u8], level: Level) -> Persistence {
    let mut set = CommitSet::new();
    set.upsert(table, key, key, PutOptions::default()).unwrap();
    let answer = wait(backend, Op::Commit { set, level }).unwrap();
    let Answer::Committed(committed) = answer else { panic!("{answer:?}") };
    committed.persistence
}

fn has<B: Backend>(backend: &B, table: TableId, key: &[u8]) -> bool {
    let mut seen = false;
    backend.lookup_in_place(table, key, &mut |pair| seen = pair.is_some_and(|pair| pair.value == key)).unwrap();
    seen
}

/// P5: after a clean shutdown everything committed is persistent, whichever way the store was opened.
#[test]
fn what_was_committed_is_there_at_the_next_open() {
    for io in [IoKind::Auto, IoKind::Posix] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("store");
        let options = Options { io, ..options() };
        let (store, report) = options.open_inline(&dir).unwrap();
        assert_eq!(report.incarnation.0, 1);
        let id = table(&store);
        put(&store, id, b"inline", Level::Committed);
        assert_eq!(put(&store, id, b"at once", Level::Persistent), Persistence::Persistent);
        drop(store);
        let (store, report) = options.open(&dir).unwrap();
        assert_eq!(report.incarnation.0, 2);
        let id = table(&store);
        assert!(has(&store, id, b"inline") && has(&store, id, b"at once") && !has(&store, id, b"shared"));
        put(&store, id, b"shared", Level::Committed);
        drop(store);
        let (store, _) = options.open_inline(&dir).unwrap();
        assert!(has(&store, id, b"shared"));
    }
}

#[test]
fn memory_and_volatile_stores_need_no_directory() {
    let options = options();
    for store in [options.memory().unwrap(), options.volatile().unwrap()] {
        let persistent = store.capabilities().persistence;
        let any = AnyBackend::Shared(store);
        if persistent {
            let id = table(&any);
            put(&any, id, b"k", Level::Persistent);
            assert!(has(&any, id, b"k"));
        }
    }
    let store = options.memory_inline().unwrap();
    let id = table(&store);
    assert_eq!(put(&store, id, b"k", Level::Persistent), Persistence::Persistent);
    assert!(has(&store, id, b"k"));
    assert!(!options.volatile_inline().unwrap().capabilities().persistence);
}

#[track_caller]
fn refusal<T>(opened: Result<T, Error>) -> OpenError {
    match opened {
        Err(Error::Open(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_by_name() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name);
    let options = options();
    assert!(matches!(refusal(options.open(&path("a/b"))), OpenError::MissingParent { .. }));
    let careful = Options { create: false, ..options.clone() };
    assert!(matches!(refusal(careful.open(&path("none"))), OpenError::Missing { .. }));
    std::os::unix::fs::symlink("/nowhere", path("file")).unwrap();
    std::fs::create_dir(path("theirs")).unwrap();
    std::os::unix::fs::symlink("/nowhere", path("theirs/letter")).unwrap();
    let OpenError::NotOurs { found, .. } = refusal(options.open_inline(&path("theirs"))) else { panic!() };
    assert_eq!(found, "letter");
    assert!(!path("theirs").join(LOCK_FILE).exists(), "nothing is written to somebody else's directory");
    std::fs::create_dir(path("empty")).unwrap();
    assert!(matches!(refusal(careful.open(&path("empty"))), OpenError::Missing { .. }));
    let program = std::env::current_exe().unwrap();
    assert!(matches!(refusal(options.open(&program)), OpenError::NotADirectory { .. }));
}

#[test]
fn a_second_opener_is_told_who_has_the_store() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("store");
    let (store, _) = options().open(&dir).unwrap();
    let OpenError::Machine(uring::Error::InUse { pid, .. }) = refusal(options().open_inline(&dir)) else { panic!() };
    assert_eq!(pid, Some(std::process::id()));
    drop(store);
    assert!(options().open_inline(&dir).is_ok());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&dir).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_data_file_that_is_no_store_is_refused_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("store");
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), dir.join(DATA_FILE)).unwrap();
    let before = std::fs::metadata(dir.join(DATA_FILE)).unwrap().len();
    let error = options().open(&dir).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Domain(domains::Error::NotAStore { .. })), "{error}");
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert_eq!(std::fs::metadata(dir.join(DATA_FILE)).unwrap().len(), before);
}

/// A file of less than a page was once taken for one that is empty, and formatted.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test plays somebody else, who writes and reads the file")]
fn a_small_file_of_somebody_elses_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join(DATA_FILE);
    for content in [&b"hi"[..], &[7; 4096], &[7; 5000]] {
        std::fs::write(&data, content).unwrap();
        let error = Options::default().open_inline(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Domain(domains::Error::NotAStore { .. })), "{error}");
        assert_eq!(std::fs::read(&data).unwrap(), content, "it is not written");
    }
}

/// Descriptors of this process on what lies in a directory.
fn descriptors_in(dir: &Path) -> Vec<std::path::PathBuf> {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut held: Vec<_> = links
        .filter_map(|link| std::fs::read_link(link.unwrap().path()).ok())
        .filter(|path| path.starts_with(dir))
        .collect();
    held.sort();
    held
}

/// A store is one data file and one lock, at one segment as at two hundred, while it is read and when it is opened again.
#[test]
fn a_store_of_any_size_holds_two_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("store");
    let options = Options { config: Config { segment_pages: 16, ..Config::default() }, ..Options::default() };
    let ours = [path.join(LOCK_FILE), path.join(DATA_FILE)].map(|path| path.to_string_lossy().into_owned());
    let check = |segments: u32| {
        let held = descriptors_in(&path);
        let names: std::collections::BTreeSet<_> =
            held.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert!(names.iter().all(|name| ours.contains(name)), "{names:?}");
        assert!(held.len() <= 3, "{held:?} with {segments} segments");
        held.len()
    };
    let mut at_first = None;
    for _ in 0..2 {
        let store = Store::new(options.open_inline(&path).unwrap().0);
        let table = match store.open_raw("t") {
            Ok(table) => table,
            Err(_) => store.create_raw("t", crate::plain_spec(TableKind::Hash, TableHome::Persistent)).unwrap(),
        };
        let before = check(1);
        assert_eq!(*at_first.get_or_insert(before), before, "as many after a reopen");
        for n in 0..2_000_u32 {
            table.upsert(&n.to_le_bytes(), &[7; 4_000], crate::PutOptions::default()).unwrap();
        }
        store.drop_cache().unwrap();
        for n in (0..2_000_u32).step_by(50) {
            assert_eq!(table.get(&n.to_le_bytes()).unwrap().unwrap().value.len(), 4_000);
        }
        let segments = store.status().unwrap().segments;
        assert!(segments > 100, "{segments} segments");
        assert_eq!(check(segments), before, "with {segments} segments");
    }
    assert!(descriptors_in(&path).is_empty(), "none stays behind");
}
