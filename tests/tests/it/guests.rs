//! Other users than the daemon's own, against the real daemon: they may do what the rules say, whatever protocol they speak, and
//! whoever holds a connection has the rights of who made it.
//!
//! Only root can be other users; where these tests are not root's they say so and pass.

use crate::bad_input::frames::{Raw, Seen, hello, request};
use crate::process::{self, Daemon, text};
use lostore::schema::{TableHome, TableKind};
use lostore::{AnyBackend, ErrorKind, Options, PutOptions, RawTable, Store, plain_spec};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use wire::{Bytes, Change, CommitOptions, Expect, Level, List, Op, Part, Value};

const GUEST: u32 = 4321;
const GROUP: u32 = 8765;
const UNMAPPED: u32 = 65534;

/// Whether this process can be other users.
pub(crate) fn can_be_others() -> bool {
    let may = rustix::process::geteuid().is_root()
        && Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !may {
        println!("SKIPPED other-users: only root can be other users, and only with setpriv");
    }
    may
}

/// What a thread does as another user: only threads of this process can be, one by one.
fn as_user<R: Send>(uid: u32, groups: &[u32], call: impl FnOnce() -> R + Send) -> R {
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let act = move || {
        set_thread_groups(&groups).unwrap();
        let (gid, uid) = (Gid::from_raw(uid), Uid::from_raw(uid));
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
        call()
    };
    std::thread::scope(|scope| scope.spawn(act).join().unwrap())
}

/// A daemon with rules, in a directory that others may pass through, with tables `mine` and `theirs` and a pair `k` in each.
pub(crate) struct Inn {
    pub(crate) daemon: Daemon,
    rules: PathBuf,
    owner: Store<AnyBackend>,
    _dir: tempfile::TempDir,
}

impl Inn {
    pub(crate) fn new(rules: &str) -> Self {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("store");
        let file = top.path().join("rules");
        std::fs::write(&file, rules).unwrap();
        let daemon = Daemon::run(
            &dir,
            process::lostore(&["serve", text(&dir), "-o", "json", "--segment", "1M", "--acl", text(&file)]),
        );
        for path in [top.path(), &dir] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711)).unwrap();
        }
        let owner = daemon.connect();
        for name in ["mine", "theirs"] {
            let table = owner.create_raw(name, plain_spec(TableKind::Ordered, TableHome::Persistent)).unwrap();
            table.upsert(b"k", b"v", PutOptions::default()).unwrap();
        }
        Self { daemon, rules: file, owner, _dir: top }
    }

    fn id(&self, table: &str) -> u32 {
        self.owner.open_raw(table).unwrap().id().0
    }

    /// Other rules, which the daemon is told to read.
    fn rules(&self, rules: &str) {
        std::fs::write(&self.rules, rules).unwrap();
        let pid = self.daemon.ready["pid"].to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// A greeted connection of this user.
    fn raw(&self, uid: u32, groups: &[u32]) -> Raw {
        let stream = as_user(uid, groups, || UnixStream::connect(self.daemon.socket()).unwrap());
        let mut raw = Raw::over(stream);
        raw.send(&hello());
        assert_eq!(raw.next(), Seen::Welcome);
        raw
    }

    /// The command `lostore`, as this user, on this daemon.
    fn run(&self, uid: u32, line: &[&str]) -> Output {
        let socket = self.daemon.socket();
        let line = [line, &["--socket", text(&socket)]].concat();
        let command = process::lostore(&line);
        let mut other = Command::new("setpriv");
        other.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
        other.arg(command.get_program()).args(command.get_args());
        other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        other.output().unwrap()
    }

    #[track_caller]
    fn says(&self, uid: u32, line: &[&str], exit: i32, part: &str) {
        let output = self.run(uid, line);
        let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        assert_eq!(output.status.code(), Some(exit), "{line:?}: {said}");
        assert!(said.contains(part), "{line:?}: {said} says nothing of {part}");
    }
}

#[test]
fn another_user_may_do_what_the_rules_say() {
    if !can_be_others() {
        return;
    }
    let inn = Inn::new(&format!("uid:{GUEST} mine read\n* mine iterate\n"));
    inn.says(GUEST, &["get", "mine/k"], 0, "v");
    inn.says(GUEST, &["scan", "mine"], 0, "k");
    inn.says(GUEST, &["put", "mine/k", "w"], 3, "LS0150");
    inn.says(GUEST, &["get", "theirs/k"], 1, "LS0201");
    inn.says(GUEST, &["get", "nobody/k"], 1, "LS0201");
    inn.says(GUEST, &["table", "create", "new"], 3, "no right 'create' on table 'new'");
    let list = String::from_utf8(inn.run(GUEST, &["table", "list", "-o", "jsonl"]).stdout).unwrap();
    assert!(list.contains("\"mine\"") && !list.contains("theirs"), "{list}");
    // Everybody is not the user that stands for unmapped ones.
    inn.says(UNMAPPED, &["get", "mine/k"], 3, "LS0517");
    inn.says(GUEST + 1, &["get", "mine/k"], 3, "LS0150");
    inn.daemon.stop();
}

#[test]
fn rules_are_read_again_and_wrong_ones_change_nothing() {
    if !can_be_others() {
        return;
    }
    let inn = Inn::new(&format!("uid:{GUEST} mine read\n"));
    let (mine, theirs) = (inn.id("mine"), inn.id("theirs"));
    let mut guest = inn.raw(GUEST, &[]);
    let mut may = |table| {
        guest.send(&request(2, Op::Lookup { table, key: Bytes(b"k") }));
        guest.next() == Seen::Done
    };
    assert!(may(mine) && !may(theirs));
    inn.rules(&format!("uid:{GUEST} theirs read\n"));
    while !may(theirs) {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert!(!may(mine), "the new rules hold, all of them");
    inn.rules(&format!("uid:{GUEST} mine read\nuid:{GUEST} theirs\n"));
    // They are not taken; and when right ones follow these are.
    assert!(may(theirs) && !may(mine));
    inn.rules(&format!("uid:{GUEST} m* read\n"));
    while !may(mine) {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert!(!may(theirs));
    inn.daemon.stop();
}

fn committing(table: u32, expect: Expect<'static>, change: Change<'static>) -> Op<'static> {
    let options = CommitOptions { level: Level::Committed, force: false, notify: false };
    let part = Part { table, key: Bytes(b"k"), expect, change };
    Op::Commit { parts: List::new(vec![part]).unwrap(), options }
}

/// Every verb that a rule can give, on a table, with the right that it is refused for when all others are there.
fn verbs(table: u32, name: &'static str) -> Vec<(&'static str, Op<'static>)> {
    let put = || Change::Put { value: Value::new(b"x"), expires_ms: None, compressed: false };
    let key = Bytes(b"k");
    vec![
        ("read", Op::Lookup { table, key }),
        ("read", Op::LookupMany { table, keys: List::new(vec![key]).unwrap() }),
        ("read", Op::ReadRanges { table, key, ranges: List::new(vec![wire::Range { from: 0, bytes: 1 }]).unwrap() }),
        ("read", Op::Verify { table, key }),
        ("read", committing(table, Expect::Present, Change::None)),
        ("iterate", next(table)),
        ("insert", committing(table, Expect::Absent, put())),
        ("update", committing(table, Expect::Present, put())),
        ("delete", committing(table, Expect::Present, Change::Delete)),
        ("update", committing(table, Expect::Any, Change::Revert { token: wire::Version::default() })),
        ("destroy", Op::DestroyTable { name }),
        ("create", Op::RenameTable { from: "mine", to: "taken" }),
        ("txn", Op::TxnOpen),
        ("force", Op::Force),
        ("admin", Op::DropCache),
        ("none", Op::OpenTable { name, spec: None }),
        ("none", Op::Status),
        ("none", Op::ListTables),
        ("none", Op::Ping),
    ]
}

fn next(table: u32) -> Op<'static> {
    let (from, direction) = (wire::Cursor::Start, wire::Direction::Next);
    Op::Next { table, from, until: None, direction, pairs_max: 10, bytes_max: 1000 }
}

const RIGHTS: [&str; 10] =
    ["read", "insert", "update", "delete", "iterate", "create", "destroy", "txn", "force", "admin"];

#[test]
fn each_verb_is_refused_to_the_wrong_user_and_group() {
    if !can_be_others() {
        return;
    }
    // A user for each right, who has all others; group by group.
    let others = |at: usize| [&RIGHTS[..at], &RIGHTS[at + 1..]].concat().join(",");
    let rules: Vec<String> = (0..RIGHTS.len()).map(|at| format!("gid:{} * {}", 9000 + at, others(at))).collect();
    let inn = Inn::new(&rules.join("\n"));
    let mine = inn.id("mine");
    for (at, missing) in (0..).zip(RIGHTS) {
        let mut guest = inn.raw(GUEST, &[GROUP, 9000 + at]);
        for (right, op) in verbs(mine, "mine") {
            // Its own affair: it would be done.
            if right != missing && right != "none" {
                continue;
            }
            let shown = format!("{op:?}");
            guest.send(&request(2, op));
            match (guest.next(), right == missing) {
                (Seen::Done, false) => {}
                (Seen::Refused(150, text), true) => assert!(text.contains(&format!("'{missing}'")), "{shown}: {text}"),
                (other, _) => panic!("{shown} without {missing}: {other:?}"),
            }
        }
    }
    let found = inn.owner.open_raw("mine").unwrap().get(b"k").unwrap();
    assert_eq!(found.expect("it is there").value, b"v", "nothing was done");
    // In none of the groups: there is no place for it here.
    let stream = as_user(GUEST, &[GROUP], || UnixStream::connect(inn.daemon.socket()).unwrap());
    assert_eq!(Raw::over(stream).refusal().code, 517);
    inn.daemon.stop();
}

#[test]
fn a_table_without_a_right_is_answered_byte_by_byte_like_none() {
    if !can_be_others() {
        return;
    }
    let inn = Inn::new(&format!("uid:{GUEST} mine all\n"));
    let theirs = inn.id("theirs");
    let mut guest = inn.raw(GUEST, &[]);
    let unknown = 100;
    assert!(theirs < 10, "numbers of one digit");
    for ((_, there), (_, nowhere)) in verbs(theirs, "theirs").into_iter().zip(verbs(unknown, "nobody")).take(11) {
        let mut hear = |op| {
            guest.send(&request(2, op));
            let refusal = guest.refusal();
            (refusal.code, refusal.text.replace("nobody", "theirs").replace(&unknown.to_string(), &theirs.to_string()))
        };
        assert_eq!(hear(there), hear(nowhere));
    }
    inn.daemon.stop();
}

#[test]
fn programs_are_told_by_the_library() {
    if !can_be_others() {
        return;
    }
    let inn = Inn::new(&format!("uid:{GUEST} mine read\n"));
    let socket = inn.daemon.socket();
    as_user(GUEST, &[], || {
        let store = Store::new(AnyBackend::Remote(Options::default().connect(&socket).unwrap()));
        let table: RawTable<_> = store.open_raw("mine").unwrap();
        assert_eq!(table.get(b"k").unwrap().unwrap().value, b"v");
        let error = table.upsert(b"k", b"w", PutOptions::default()).unwrap_err();
        assert_eq!((error.code(), error.kind()), (150, ErrorKind::Environment));
        assert!(error.to_string().contains("user 4321 may not do this"), "{error}");
        assert!(error.help().contains("lostore acl explain"), "{}", error.help());
        assert_eq!(store.open_raw("theirs").unwrap_err().code(), 201);
    });
    let refused = as_user(UNMAPPED, &[], || Options::default().connect(&socket).expect_err("it is nobody"));
    assert_eq!(refused.code(), 517, "{refused}");
    inn.daemon.stop();
}

#[test]
fn a_connection_that_is_handed_on_keeps_the_rights_of_who_made_it() {
    if !can_be_others() {
        return;
    }
    let inn = Inn::new("");
    // Made by the owner, and inherited by a process of a user that may nothing: possession is what counts.
    let inherited = UnixStream::connect(inn.daemon.socket()).unwrap();
    let heard = speak(inherited.try_clone().unwrap(), "LS.GET theirs k");
    assert_eq!(heard, "*4");
    // And the other way round: made by that user, in the owner's hands.
    let made = as_user(UNMAPPED, &[], || UnixStream::connect(inn.daemon.socket()).unwrap());
    assert_eq!(Raw::over(made).refusal().code, 517);
    inn.daemon.stop();
}

/// One command, sent over this connection by a process of the unmapped user, and the first line of what it heard.
fn speak(stream: UnixStream, command: &str) -> String {
    let reads: std::os::fd::OwnedFd = stream.try_clone().unwrap().into();
    let writes: std::os::fd::OwnedFd = stream.into();
    let line = format!("printf '{command}\\r\\n'; read -r line; printf '%s' \"$line\" >&2");
    let output = Command::new("setpriv")
        .args([&format!("--reuid={UNMAPPED}"), &format!("--regid={UNMAPPED}"), "--clear-groups", "sh", "-c"])
        .arg(line)
        .stdin(reads)
        .stdout(writes)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap().trim().to_owned()
}

#[test]
fn rules_are_checked_and_explained_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules");
    let run = |line: &[&str]| {
        let output = process::lostore(line).stderr(Stdio::piped()).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), said(&output.stdout), said(&output.stderr))
    };
    std::fs::write(&file, "# who may\nuid:7 a* read,txn\ngid:8 ab insert\n* z read\n").unwrap();
    let path: &Path = &file;
    let (code, out, _) = run(&["acl", "check", text(path)]);
    assert_eq!(code, Some(0));
    assert!(out.contains("uid:7 a* read,txn # line 2") && out.contains("gid:8 ab insert # line 3"), "{out}");
    let (code, out, _) = run(&["acl", "explain", text(path), "--uid", "7", "--gid", "8", "--table", "ab"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("user 7 on table 'ab': read,insert,txn") && out.contains("# line 3"), "{out}");
    let (_, out, _) = run(&["acl", "explain", text(path), "--uid", "7", "--table", "ab", "-o", "json"]);
    assert!(out.contains(r#""rights":["read","txn"]"#) && out.contains(r#""lines":[2]"#), "{out}");
    let (_, out, said) = run(&["acl", "explain", text(path), "--uid", "65534", "--gid", "8", "--table", "z"]);
    assert!(out.contains("none") && said.contains("uid:65534"), "{out}{said}");
    std::fs::write(&file, "uid:7 a* read\nroot * all\nuid:7 a* reed\n").unwrap();
    let (code, _, said) = run(&["acl", "check", text(path)]);
    assert_eq!(code, Some(2));
    for part in ["LS0151", "line 2: 'root' is nobody", "line 3: 'reed' is no right"] {
        assert!(said.contains(part), "{said} says nothing of {part}");
    }
    // Nor does a server start with such rules.
    let store = dir.path().join("store");
    let (code, _, said) = run(&["serve", text(&store), "--acl", text(path)]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("LS0151") && said.contains("line 2"), "{said}");
}
