//! The binary itself, run: what goes to stdout, what to stderr, and how it ends.

#![expect(clippy::unwrap_used, reason = "all of this is tests; clippy by itself sees only functions marked so")]

#[path = "verbs/demo.rs"]
mod demo;
#[path = "verbs/space.rs"]
mod space;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn lostore(dir: &Path, args: &[&str]) -> Output {
    with_stdin(dir, args, b"")
}

fn with_stdin(dir: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = command(dir, args).stdin(Stdio::piped()).spawn().unwrap();
    // Whoever does not read its stdin may have ended before it was written.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lostore"));
    command.args(args).current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["LOSTORE_STORE", "LOSTORE_SOCKET", "LOSTORE_IO", "LOSTORE_OUTPUT", "LOSTORE_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Stdout of a run that must go well and say nothing on stderr.
#[track_caller]
fn data(output: &Output) -> &str {
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    text(&output.stdout)
}

/// A run that must end with this code, print no data, and name this error code and what to do.
#[track_caller]
fn refused(output: &Output, exit: i32, code: &str) {
    let talk = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(exit), ""), "{talk}");
    assert!(talk.contains(code), "{code}: {talk}");
    assert!(code.is_empty() || talk.lines().count() >= 2, "nothing says what to do: {talk}");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A server, ended when it is dropped.
struct Server(Child);

impl Server {
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, &["--segment", "1M"])
    }

    fn start_with(dir: &Path, args: &[&str]) -> Self {
        let line = [&["serve", "data"], args].concat();
        let mut child = command(dir, &line).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready data/lostore.sock\n");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The main verbs, on a store that is reached one way or the other.
fn verbs(dir: &Path) {
    data(&lostore(dir, &["table", "create", "users", "--key", "name:text", "--record", "age:u32,boss:->users"]));
    let version = data(&lostore(dir, &["put", "users/alice", r#"{"age":3}"#])).trim().to_owned();
    assert_eq!(version.split('.').count(), 3);
    data(&with_stdin(dir, &["put", "users/bob", "-"], br#"{"age":4,"boss":"alice"}"#));
    assert_eq!(data(&lostore(dir, &["get", "users/alice"])), "{\"age\":3,\"boss\":null}\n");
    let json: serde_json::Value =
        serde_json::from_str(data(&lostore(dir, &["get", "users/bob", "-o", "json"]))).unwrap();
    assert_eq!((&json["key"], &json["value"]["boss"]), (&"bob".into(), &"alice".into()));
    assert!(data(&lostore(dir, &["follow", "users/bob", "boss"])).starts_with("alice\t"));
    chains(dir);
    refused(&lostore(dir, &["get", "users/carol"]), 1, "");
    refused(&lostore(dir, &["put", "users/carol", r#"{"ag":1}"#]), 2, "LS0601");
    refused(&lostore(dir, &["get", "nothing/a"]), 1, "LS0201");

    let script = format!("if users/alice.version == {version}; put users/alice {{\"age\":5}}; del users/bob");
    assert_eq!(data(&with_stdin(dir, &["txn"], script.as_bytes())).lines().count(), 2);
    refused(&with_stdin(dir, &["txn"], script.as_bytes()), 1, "LS0303");
    refused(&with_stdin(dir, &["txn"], b"drop everything"), 2, "LS0602");

    let alice: serde_json::Value =
        serde_json::from_str(data(&lostore(dir, &["get", "users/alice", "-o", "json"]))).unwrap();
    let version = alice["version"].as_str().unwrap();
    let swap = ["cas", "users/alice", version, r#"{"age":6}"#, "users/dave", "absent", r#"{"age":1}"#];
    assert_eq!(data(&lostore(dir, &swap)).lines().count(), 2);
    let again = lostore(dir, &swap);
    refused(&again, 1, "LS0303");
    for word in ["users/alice is there, at version", "users/dave is there, at version"] {
        assert!(text(&again.stderr).contains(word), "{word}: {}", text(&again.stderr));
    }
    refused(&lostore(dir, &swap[..6]), 2, "");
    let gone = ["cas", "users/dave", "present", "del:", "users/alice", "present", "keep:", "-o", "json"];
    assert!(data(&lostore(dir, &gone)).contains("users"));

    // What a scan prints is a transaction that changes nothing but versions.
    let printed = data(&lostore(dir, &["scan", "users", "-o", "jsonl"])).to_owned();
    data(&with_stdin(dir, &["txn"], printed.as_bytes()));
    let values =
        |text: &str| text.lines().map(|line| line.split("\"version\"").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(data(&lostore(dir, &["scan", "users", "-o", "jsonl"]))), values(&printed));

    let token = data(&lostore(dir, &["put", "users/dora", r#"{"age":1}"#, "--revertible", "60s"])).trim().to_owned();
    let status: serde_json::Value = serde_json::from_str(data(&lostore(dir, &["status", "-o", "json"]))).unwrap();
    assert_eq!(status["revertible_writes"], 1);
    data(&lostore(dir, &["revert", "users/dora", &token]));
    refused(&lostore(dir, &["get", "users/dora"]), 1, "");
    let again = lostore(dir, &["revert", "users/dora", &token]);
    refused(&again, 1, "");
    assert!(text(&again.stderr).contains("is not there"), "{}", text(&again.stderr));
    let token = data(&lostore(dir, &["put", "users/dora", r#"{"age":2}"#, "--revertible", "5m"])).trim().to_owned();
    data(&lostore(dir, &["seal", "users/dora", &token]));
    let sealed = lostore(dir, &["revert", "users/dora", &token]);
    refused(&sealed, 1, "");
    assert!(text(&sealed.stderr).contains("is there, at version"), "{}", text(&sealed.stderr));
    data(&lostore(dir, &["del", "users/dora"]));

    client_hash(dir);
    compact_slots(dir);
    data(&lostore(dir, &["table", "create", "bytes", "--kind", "hash"]));
    data(&lostore(dir, &["put", "bytes/hex:00ff", "hex:ff00"]));
    assert_eq!(data(&lostore(dir, &["get", "bytes/hex:00ff"])), "hex:ff00\n");
    assert_eq!(lostore(dir, &["get", "bytes/hex:00ff", "-o", "raw"]).stdout, b"\xff\x00");
    assert_eq!(data(&lostore(dir, &["scan", "bytes", "-o", "hex"])), "hex:00ff\thex:ff00\n");
    ranges(dir);
    data(&lostore(dir, &["del", "bytes/hex:00ff"]));
    refused(&lostore(dir, &["del", "bytes/hex:00ff"]), 1, "");
    appends(dir);
    data(&lostore(dir, &["table", "rename", "bytes", "other"]));
    assert_eq!(data(&lostore(dir, &["table", "list", "-o", "raw"])), "other\nusers\n");
    data(&lostore(dir, &["table", "drop", "other"]));
    let status: serde_json::Value = serde_json::from_str(data(&lostore(dir, &["status", "-o", "json"]))).unwrap();
    assert_eq!((&status["segments_home"], &status["segments_place"]), (&"persistent".into(), &"local file".into()));
    assert!(status["tables"].as_array().unwrap().iter().any(|table| table["table"] == "users" && table["pairs"] == 1));
    assert!(data(&lostore(dir, &["ping"])).starts_with("alive"));
}

/// A table whose keys are numbers that the client hashed.
fn client_hash(dir: &Path) {
    let create = ["table", "create", "objects", "--kind", "client-hash"];
    let refusal = lostore(dir, &create);
    refused(&refusal, 2, "LS0210");
    assert!(text(&refusal.stderr).contains("this key has no field"), "{}", text(&refusal.stderr));
    refused(&lostore(dir, &[&create[..], &["--key", "id:text"]].concat()), 2, "LS0210");
    let shown = data(&lostore(dir, &[&create[..], &["--key", "id:u64"]].concat())).to_owned();
    assert!(shown.contains("client-hash, persistent"), "{shown}");
    data(&lostore(dir, &["put", "objects/65536", "one"]));
    assert_eq!(data(&lostore(dir, &["get", "objects/65536"])), "one\n");
    assert_eq!(data(&lostore(dir, &["scan", "objects"])), "65536\tone\n");
    data(&lostore(dir, &["table", "drop", "objects"]));
}

/// A table of 8 bytes of memory a pair.
fn compact_slots(dir: &Path) {
    let create = ["table", "create", "many", "--slots", "compact", "--pairs", "1000000"];
    let refusal = lostore(dir, &create);
    refused(&refusal, 2, "LS0211");
    assert!(text(&refusal.stderr).contains("this one is ordered"), "{}", text(&refusal.stderr));
    let shown = data(&lostore(dir, &[&create[..], &["--kind", "hash"]].concat())).to_owned();
    assert!(shown.contains("slots   compact, 8 bytes each"), "{shown}");
    data(&lostore(dir, &["put", "many/one", "1"]));
    data(&lostore(dir, &["put", "many/one", "2"]));
    assert_eq!(data(&lostore(dir, &["get", "many/one"])), "2\n");
    let shown = data(&lostore(dir, &["table", "info", "many", "-o", "json"])).to_owned();
    assert!(shown.contains("\"slots\": \"compact\"") && shown.contains("1000000"), "{shown}");
    data(&lostore(dir, &["table", "drop", "many"]));
}

/// `follow` over many pointers, `verify` of one pair, `get` of several. Bob's boss is alice, who has none.
fn chains(dir: &Path) {
    let chain = data(&lostore(dir, &["follow", "users/bob", "boss", "--depth", "9"])).to_owned();
    assert_eq!(chain.lines().count(), 3, "{chain}");
    assert!(chain.starts_with("users/bob\t{") && chain.contains("\nusers/alice\t{"), "{chain}");
    assert!(chain.ends_with("end: the last record leads nowhere\n"), "{chain}");
    let ends = |args: &[&str]| {
        let args = [&["follow", "users/bob", "boss", "-o", "json"], args].concat();
        let document: serde_json::Value = serde_json::from_str(data(&lostore(dir, &args))).unwrap();
        (document["links"].as_array().unwrap().len(), document["end"].as_str().unwrap().to_owned())
    };
    assert_eq!(ends(&["--depth", "0"]), (1, "depth".to_owned()));
    assert_eq!(ends(&["--count", "1"]), (1, "count".to_owned()));
    assert_eq!(ends(&["--depth", "1", "--count", "2"]), (2, "null".to_owned()));
    refused(&lostore(dir, &["follow", "users/carol", "boss", "--depth", "9"]), 1, "");
    assert_eq!(lostore(dir, &["follow", "users/bob", "boss", "--count", "5000"]).status.code(), Some(2));

    assert_eq!(
        data(&lostore(dir, &["verify", "--pair", "users/bob"])),
        "whole: it is on the device as it was written\n"
    );
    refused(&lostore(dir, &["verify", "--pair", "users/carol"]), 1, "");

    let both = "bob\t{\"age\":4,\"boss\":\"alice\"}\nalice\t{\"age\":3,\"boss\":null}\n";
    assert_eq!(data(&lostore(dir, &["get", "users/bob", "users/alice"])), both);
    let some = lostore(dir, &["get", "users/bob", "users/carol", "users/alice"]);
    assert_eq!((some.status.code(), text(&some.stdout)), (Some(1), both));
    assert!(text(&some.stderr).contains("users/carol is not there"), "{}", text(&some.stderr));
    refused(&lostore(dir, &["get", "users/bob", "other/bob"]), 2, "LS0601");
}

/// `get` of parts of a record.
fn ranges(dir: &Path) {
    data(&lostore(dir, &["put", "bytes/long", "a long record"]));
    assert_eq!(data(&lostore(dir, &["get", "bytes/long", "--range", "2..6,7..,0..0"])), "long\nrecord\n\n");
    assert_eq!(data(&lostore(dir, &["get", "bytes/long", "--range", "2..4,0..1", "-o", "raw"])), "loa");
    let past = lostore(dir, &["get", "bytes/long", "--range", "99..", "-o", "json"]);
    let past: serde_json::Value = serde_json::from_str(data(&past)).unwrap();
    assert_eq!((&past["total_bytes"], &past["parts"]), (&13.into(), &serde_json::json!([""])));
    refused(&lostore(dir, &["get", "bytes/none", "--range", "0..1"]), 1, "");
    refused(&lostore(dir, &["get", "bytes/long", "bytes/long", "--range", "0..1"]), 2, "LS0601");
    for wrong in ["1", "a..b", "5..2", "-1..3"] {
        assert_eq!(lostore(dir, &["get", "bytes/long", &format!("--range={wrong}")]).status.code(), Some(2));
    }
    data(&lostore(dir, &["del", "bytes/long"]));
}

/// Appends to records of the table `bytes`, and none to one with fields.
fn appends(dir: &Path) {
    data(&lostore(dir, &["append", "bytes/log", "one", "--if", "absent"]));
    data(&with_stdin(dir, &["append", "bytes/log"], b", two"));
    refused(&lostore(dir, &["append", "bytes/log", "x", "--if", "absent"]), 1, "");
    refused(&lostore(dir, &["append", "bytes/none", "x", "--if", "present"]), 1, "");
    refused(&lostore(dir, &["append", "users/alice", "x"]), 2, "");
    let token = data(&lostore(dir, &["append", "bytes/log", ", three", "--revertible", "60s"])).trim().to_owned();
    assert_eq!(data(&lostore(dir, &["get", "bytes/log"])), "one, two, three\n");
    data(&lostore(dir, &["revert", "bytes/log", &token]));
    data(&lostore(dir, &["append", "bytes/log", "!", "--compressed", "--expires-ms", "99999999999999", "--no-wait"]));
    let json: serde_json::Value =
        serde_json::from_str(data(&lostore(dir, &["get", "bytes/log", "-o", "json"]))).unwrap();
    assert_eq!((&json["value"], &json["compressed"]), (&"one, two!".into(), &true.into()));
    data(&lostore(dir, &["put", "bytes/packed", "small", "--compact", "--compressed"]));
    data(&lostore(dir, &["append", "bytes/packed", "er", "--compact"]));
    assert_eq!(data(&lostore(dir, &["get", "bytes/packed"])), "smaller\n");
    data(&lostore(dir, &["del", "bytes/packed"]));
    assert_eq!(json["expires_ms"], 99_999_999_999_999_u64);
    data(&with_stdin(dir, &["txn"], b"append bytes/log ?; append bytes/log !; append bytes/new a b"));
    assert_eq!(data(&lostore(dir, &["get", "bytes/log"])), "one, two!?!\n");
    assert_eq!(data(&lostore(dir, &["get", "bytes/new"])), "a b\n");
    refused(&with_stdin(dir, &["txn"], b"append users/alice x"), 2, "");
}

/// `schema` in its forms, `verify` of pointers and rules, and records that rules refuse.
fn schema(dir: &Path) {
    let fields = "owner:->users required,size:u32 in 1..=9 default 1,next:->cards";
    data(&lostore(dir, &["table", "create", "cards", "--key", "id:u64", "--record", fields]));
    let text_form = data(&lostore(dir, &["schema"])).to_owned();
    for line in ["  key  id     u64\n", "       size   u32       in 1..=9 default 1\n", "  cards.owner -> users\n"] {
        assert!(text_form.contains(line), "{line:?} in\n{text_form}");
    }
    assert_eq!(data(&lostore(dir, &["schema", "data"])), text_form);
    let json: serde_json::Value = serde_json::from_str(data(&lostore(dir, &["schema", "-o", "json"]))).unwrap();
    assert_eq!(json["references"].as_array().unwrap().len(), 3);
    assert!(data(&lostore(dir, &["schema", "--diagram", "mermaid"])).contains("\"cards\" }o--|| \"users\""));
    assert!(data(&lostore(dir, &["schema", "--diagram", "svg"])).starts_with("<svg xmlns="));

    data(&lostore(dir, &["put", "cards/1", r#"{"owner":"alice"}"#]));
    assert_eq!(data(&lostore(dir, &["get", "cards/1"])), "{\"next\":null,\"owner\":\"alice\",\"size\":1}\n");
    refused(&lostore(dir, &["put", "cards/2", r#"{"owner":null}"#]), 2, "LS0706");
    refused(&lostore(dir, &["put", "cards/2", r#"{"owner":"alice","size":10}"#]), 2, "LS0706");
    refused(&lostore(dir, &["table", "create", "bad", "--record", "a:u8 in 2..=1"]), 2, "LS0209");
}

/// `verify` names what dangles, with exit 1, and is content when it is mended. `asked` are its arguments for this store.
fn dangling(dir: &Path, asked: &[&str]) {
    assert!(data(&lostore(dir, &[&["verify"], asked].concat())).ends_with("ok\n"));
    data(&lostore(dir, &["put", "cards/7", r#"{"owner":"nobody","next":8}"#]));
    let found = lostore(dir, &[&["verify"], asked].concat());
    let (table, talk) = (text(&found.stdout), text(&found.stderr));
    assert_eq!(found.status.code(), Some(1), "{talk}");
    assert!(table.contains("BREACH  cards/7: 'owner' leads to users/nobody, which is not there\n"), "{table}");
    assert!(talk.contains("LS0606 2 pointers"), "{talk}");
    let json = lostore(dir, &[&["verify", "-o", "json", "--limit", "0"], asked].concat());
    let json: serde_json::Value = serde_json::from_str(text(&json.stdout)).unwrap();
    let sheet = json.get("schema").unwrap_or(&json);
    assert_eq!(
        (&json["ok"], &sheet["breached"], &sheet["breaches"]),
        (&false.into(), &2.into(), &serde_json::json!([]))
    );
    let owner = &sheet["pointers"].as_array().unwrap().iter().find(|field| field["field"] == "owner").unwrap();
    assert_eq!((&owner["found"], &owner["dangling"], &owner["to"]), (&1.into(), &1.into(), &"users".into()));
    data(&lostore(dir, &["del", "cards/7"]));
    assert!(data(&lostore(dir, &[&["verify"], asked].concat())).ends_with("ok\n"));
}

/// `shell` with a script on stdin, and `top` of a server.
fn shell_and_top(dir: &Path) {
    let script = b"table create notes\n\nbegin\nput notes/a one\nput notes/b \\\n two\ncommit\nget notes/a\nscan notes --keys -o json\n";
    let printed = data(&with_stdin(dir, &["shell"], script)).to_owned();
    assert!(printed.contains("notes/a\t") && printed.contains("\none\n"), "{printed}");
    assert!(printed.ends_with("[\n  \"a\",\n  \"b\"\n]\n"), "{printed}");
    let stopped = with_stdin(dir, &["shell"], b"get notes/a\nget notes/none\nget notes/b\n");
    assert_eq!((stopped.status.code(), text(&stopped.stdout)), (Some(1), "one\n"));
    assert!(text(&stopped.stderr).contains("statement at line 2"), "{}", text(&stopped.stderr));
    let going = with_stdin(dir, &["shell", "--keep-going"], b"get notes/none\nget notes/b\n");
    assert_eq!((going.status.code(), text(&going.stdout)), (Some(1), "two\n"));
    refused(&with_stdin(dir, &["shell"], b"begin\nput notes/c 3\n"), 2, "LS0602");
    refused(&lostore(dir, &["get", "notes/c"]), 1, "");
    data(&lostore(dir, &["table", "drop", "notes"]));

    let socket = ["--socket", "data/lostore.sock"];
    let frame = lostore(dir, &[&["top", "--once", "--interval-ms", "100"], &socket[..]].concat());
    let frame = data(&frame);
    assert!(frame.starts_with("lostore ") && frame.contains("\ncommits ") && frame.contains("\nusers "), "{frame}");
    assert!(!frame.contains('\u{1b}'), "no terminal, no control codes");
    let json = lostore(dir, &[&["top", "--once", "--interval-ms", "100", "-o", "json"], &socket[..]].concat());
    let json: serde_json::Value = serde_json::from_str(data(&json)).unwrap();
    assert_eq!((&json["domain"], &json["now"]["read_only"]), (&"persistent".into(), &0.0.into()));
    assert!(json["verbs"].as_array().unwrap().iter().any(|verb| verb["total"].as_f64().unwrap() > 0.0), "{json}");
    assert!(json["tables"].as_array().unwrap().iter().any(|table| table["table"] == "users"), "{json}");
    refused(&lostore(dir, &["top", "--once", "--socket", "nothing.sock"]), 3, "LS0135");
}

#[test]
fn verbs_print_data_and_nothing_else_through_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    verbs(dir.path());
    schema(dir.path());
    dangling(dir.path(), &["--socket", "data/lostore.sock"]);
    shell_and_top(dir.path());
    refused(&lostore(dir.path(), &["verify"]), 2, "LS0601");
    refused(&lostore(dir.path(), &["serve", "data"]), 3, "LS0111");
    refused(&lostore(dir.path(), &["verify", "data"]), 3, "LS0111");
    drop(server);
    // Its socket is stale now: the directory is opened itself, and a new server replaces the socket.
    assert!(dir.path().join("data/lostore.sock").exists());
    assert_eq!(data(&lostore(dir.path(), &["scan", "users", "--keys"])), "alice\n");
    let _server = Server::start(dir.path());
    assert_eq!(data(&lostore(dir.path(), &["scan", "users", "--keys"])), "alice\n");
}

#[test]
fn verbs_print_data_and_nothing_else_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    drop(Server::start(dir.path()));
    verbs(dir.path());
    schema(dir.path());
    dangling(dir.path(), &["data"]);
    let inspected: serde_json::Value =
        serde_json::from_str(data(&lostore(dir.path(), &["inspect", "data", "--page", "65", "-o", "json"]))).unwrap();
    assert_eq!(inspected["page"]["kind"], "Log");
    let file = dir.path().join("data/lostore.data");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[65 * 4096 + 100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let output = lostore(dir.path(), &["verify", "data"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stdout).contains("segment 0, page 65") && text(&output.stderr).contains("LS0603"));
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("other")).unwrap();
    std::fs::write(dir.path().join("other/file"), "somebody's").unwrap();
    std::fs::create_dir(dir.path().join("fake")).unwrap();
    std::fs::write(dir.path().join("fake/lostore.data"), vec![b'x'; 1 << 20]).unwrap();
    refused(&lostore(dir.path(), &["serve", "other"]), 3, "LS0133");
    refused(&lostore(dir.path(), &["serve", "other/file"]), 3, "LS0130");
    refused(&lostore(dir.path(), &["serve", "no/such"]), 3, "LS0132");
    refused(&lostore(dir.path(), &["serve", "fake"]), 3, "LS0101");
    refused(&lostore(dir.path(), &["status", "--store", "nothing"]), 3, "LS0131");
    refused(&lostore(dir.path(), &["status", "--socket", "nothing.sock"]), 3, "LS0135");
    let long = format!("{}/s", "d".repeat(120));
    refused(&lostore(dir.path(), &["serve", "new", "--socket", &long]), 3, "LS0112");
    assert!(!dir.path().join("new").exists(), "nothing is made for a socket that cannot be");
    refused(&lostore(dir.path(), &["get", "no-slash"]), 2, "LS0601");
    assert_eq!(lostore(dir.path(), &["get"]).status.code(), Some(2));
    assert_eq!(std::fs::read(dir.path().join("fake/lostore.data")).unwrap(), vec![b'x'; 1 << 20]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path(), &["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert!(data(&lostore(dir.path(), &["explain"])).lines().count() > 60);
    assert!(data(&lostore(dir.path(), &["version", "--verbose"])).contains("format"));
}

#[test]
fn a_small_demo_passes_all_its_checks_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    for directory in 0..20 {
        let directory = tree.join(format!("d{directory}"));
        std::fs::create_dir_all(&directory).unwrap();
        for file in 0..20 {
            std::fs::write(directory.join(format!("f{file}")), vec![b'x'; file]).unwrap();
        }
        std::os::unix::fs::symlink("f1", directory.join("link")).unwrap();
    }
    let temp = dir.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    for io in ["auto", "posix"] {
        let mut command = command(dir.path(), &["demo", "--json", "--io", io, "--tree", tree.to_str().unwrap()]);
        let output = command.env("TMPDIR", &temp).stdin(Stdio::null()).output().unwrap();
        let document: serde_json::Value = serde_json::from_str(data(&output)).unwrap();
        assert_eq!(document["failed"], 0, "{document}");
        assert_eq!(document["import"]["entries"], 440);
        assert_eq!(document["compare"]["mismatches"], 0);
        assert!(document["passed"].as_u64().unwrap() > 5_000, "{document}");
        assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0, "the demo leaves nothing behind");
    }
}
