//! What a directory, a device or a neighbour may be: none of it is written to, and a daemon that runs goes on.

use super::{Good, Refusal, check, key};
use crate::process::{self, Daemon, text};
use lostore::open::DATA_FILE;
use lostore::schema::{TableHome, TableKind};
use lostore::{PutOptions, plain_spec};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A user without rights.
const NOBODY: u32 = 65_534;

/// The refusal of a command that must end with this exit code.
#[track_caller]
fn refused(mut command: Command, exit: i32) -> Refusal {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(exit), "{text}");
    let (_, code) = text.split_once("LS").unwrap_or_else(|| panic!("no code: {text}"));
    assert!(text.lines().count() >= 2, "nothing says what to do: {text}");
    Refusal { code: code[..4].parse().unwrap(), text }
}

fn serve(dir: &Path) -> Command {
    process::lostore(&["serve", text(dir)])
}

#[test]
fn what_cannot_be_served_is_refused_by_name_while_another_daemon_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let store = path("store");
    let daemon = Daemon::start(&store);
    let mut good = Good::new(&daemon);
    good.goes_on("before");
    fs::create_dir(path("theirs")).unwrap();
    fs::write(path("theirs/letter"), "somebody's").unwrap();
    fs::create_dir(path("foreign")).unwrap();
    fs::write(path("foreign").join(DATA_FILE), vec![b'x'; 1 << 20]).unwrap();
    fs::create_dir(path("socket")).unwrap();
    fs::write(path("in the way"), "a file").unwrap();
    let long = path(&"d".repeat(120));
    let cases: [(&str, Command, u16, &str); 9] = [
        ("a file where the directory should be", serve(&path("theirs/letter")), 130, "choose another path"),
        ("a directory that is not a store", serve(&path("theirs")), 133, "choose an empty or new directory"),
        ("a data file that is not a store's", serve(&path("foreign")), 101, "check the path"),
        ("a missing parent", serve(&path("no/such")), 132, "create it first"),
        ("a second daemon on the same directory", serve(&store), 111, "stop that process, or connect to its socket"),
        ("a socket path of more than 107 bytes", serve(&long), 112, "use a shorter path"),
        (
            "a file where the socket should be",
            process::lostore(&["serve", text(&path("new")), "--socket", text(&path("in the way"))]),
            113,
            "move it away or name another path",
        ),
        (
            "a store that is not there",
            process::lostore(&["status", "--store", text(&path("none"))]),
            131,
            "or make one: `lostore serve",
        ),
        (
            "a server that is not there",
            process::lostore(&["status", "--socket", text(&path("none.sock"))]),
            135,
            "start one with `lostore serve`",
        ),
    ];
    for (words, command, code, advice) in cases {
        check(words, &refused(command, 3), code, advice);
        good.goes_on(words);
    }
    assert_eq!(fs::read(path("theirs/letter")).unwrap(), b"somebody's");
    assert_eq!(fs::read_dir(path("theirs")).unwrap().count(), 1, "nothing is written to somebody else's directory");
    assert!(fs::read(path("foreign").join(DATA_FILE)).unwrap().iter().all(|byte| *byte == b'x'));
    assert_eq!(fs::read(path("in the way")).unwrap(), b"a file");
    assert!(!long.exists() && !path("none").exists() && !path("no").exists());
    good.outlives(daemon, &store);
}

/// Whoever runs the tests may be root, to whom permissions are nothing: then the command runs as another user, by a copy of this
/// binary that this one may run.
fn without_rights(place: &Path) -> impl Fn(&[&str]) -> Command {
    let root = fs::metadata(place).unwrap().uid() == 0;
    let copy: PathBuf = place.join("command");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    move |arguments| {
        let mut command = process::by(&copy, arguments);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

#[test]
fn what_may_not_be_written_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    allow(place.path(), 0o755);
    let stranger = without_rights(place.path());
    let store = place.path().join("store");
    let daemon = Daemon::start(&store);
    let mut good = Good::new(&daemon);
    good.goes_on("before");
    let Good { table, pairs } = good;
    drop(table);
    daemon.stop();
    let before = fs::read(store.join(DATA_FILE)).unwrap();

    let empty = place.path().join("empty");
    fs::create_dir(&empty).unwrap();
    allow(&empty, 0o555);
    let advice = "give this user the right to write there";
    check("a read-only directory", &refused(stranger(&["serve", text(&empty)]), 3), 134, advice);
    check("a read-only parent", &refused(stranger(&["serve", text(&empty.join("new"))]), 3), 134, advice);
    // A store whose files and directory may be read by everybody, and written by nobody.
    fs::read_dir(&store).unwrap().for_each(|file| allow(&file.unwrap().path(), 0o444));
    allow(&store, 0o555);
    check("a read-only store", &refused(stranger(&["serve", text(&store)]), 3), 134, advice);
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    assert!(fs::read(store.join(DATA_FILE)).unwrap() == before, "what was stored stays");

    allow(&store, 0o700);
    fs::read_dir(&store).unwrap().for_each(|file| allow(&file.unwrap().path(), 0o600));
    allow(&empty, 0o755);
    let daemon = Daemon::start(&store);
    Good { table: daemon.connect().open_raw("good").unwrap(), pairs }.outlives(daemon, &store);
}

/// Fills the daemon of this command until it refuses; then reads go on, and a daemon with room has it all and takes more.
fn full(words: &str, limited: impl Fn(&str) -> Command) {
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("store");
    let daemon = Daemon::run(&store, limited(text(&store)));
    let table = daemon.connect().create_raw("t", plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
    let value = vec![7; 100_000];
    let mut stored = 0_u32;
    let refusal = loop {
        let put = table.upsert(&key(stored), &value, PutOptions::default());
        match put.and_then(|ticket| ticket.persistent()) {
            Ok(_) => stored += 1,
            Err(error) => break Refusal::from(error),
        }
        assert!(stored < 1000, "100 MB fit into 8 MiB");
    };
    check(words, &refusal, 104, "free space on the device or raise the store's cap, then try again; reads go on");
    assert!(stored > 20, "the room there was has been used: {stored}");
    let all_there = |table: &lostore::RawTable<_>| {
        let found: Vec<_> = table.iter().map(|pair| pair.unwrap()).collect();
        assert!(
            found.len() == stored as usize && found.iter().all(|pair| pair.value == value),
            "{} pairs",
            found.len()
        );
    };
    for _ in 0..3 {
        assert_eq!(
            table.upsert(b"more", &value, PutOptions::default()).unwrap_err().code(),
            104,
            "it goes on refusing"
        );
        assert_eq!(table.get(b"more").unwrap(), None, "a refused commit leaves nothing");
        all_there(&table);
    }
    drop(table);
    daemon.stop();
    let daemon = Daemon::start(&store);
    let table = daemon.connect().open_raw("t").unwrap();
    all_there(&table);
    table.upsert(b"more", &value, PutOptions::default()).unwrap().persistent().unwrap();
}

#[test]
fn a_full_disk_refuses_what_is_new_and_keeps_what_is_stored() {
    full("the store's own cap of 8 MiB", |dir| {
        process::lostore(&["serve", dir, "-o", "json", "--segment", "1M", "--space-max", "8M"])
    });
    // The system lets no file of this process grow past 8 MiB: 16,384 units of 512 bytes, or 8,192 of those that count in 1,024.
    for io in ["auto", "posix"] {
        full("a disk that is full at 8 MiB", |dir| {
            process::behind("ulimit -f 8192", &["serve", dir, "-o", "json", "--segment", "1M", "--io", io])
        });
    }
}
