//! House rules that a program can check, checked: which crate may know which, file shapes, words, and the list of promises.
//!
//! Contract: every rule is one test; a test collects all its findings and fails with the whole list, so that one run shows
//! what is to be put right. An exception is a line of a table in this file, with its reason.
//! It does not repeat what clippy denies for every crate (function length, `unsafe`, printing), except where an attribute
//! could switch clippy off.

mod promises;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines above which a file must be split.
const FILE_LINES_MAX: usize = 1200;
/// Lines above which a file is asked to be split.
const FILE_LINES_ASKED: usize = 600;
/// How many files are past [`FILE_LINES_ASKED`] today. It may only go down.
const FILES_PAST_ASKED: usize = 0;

/// Who may know whom. `tests` and `bench` may know everybody; `cli` knows `mdservice` because the demo is the example, run.
const ARROWS: &[(&str, &[&str])] = &[
    ("segments", &[]),
    ("wire", &[]),
    ("uring", &[]),
    ("lostore-derive", &[]),
    ("txn", &["segments"]),
    ("domains", &["txn", "segments", "uring", "wire"]),
    ("lostore", &["lostore-derive", "domains", "txn", "segments", "uring", "wire"]),
    ("uds-server", &["lostore", "domains", "txn", "segments", "wire", "uring"]),
    ("mdservice", &["lostore"]),
    ("bench", &["lostore", "domains", "segments", "uds-server", "uring"]),
    ("cli", &["uds-server", "lostore", "wire", "mdservice", "domains", "segments", "txn", "uring"]),
    ("bench", &["cli", "lostore", "uds-server", "wire", "domains", "segments", "txn", "uring", "mdservice"]),
    (
        "tests",
        &["lostore", "lostore-derive", "domains", "segments", "txn", "wire", "uring", "uds-server", "mdservice", "cli"],
    ),
];

/// Words of other vocabularies, and the word we use. Only those that rarely mean something else are here. One in small letters is
/// found in any case, one in capitals only so.
const FORBIDDEN: &[(&str, &str)] = &[
    ("write-ahead", "log"),
    ("wal", "log"),
    ("journal", "log"),
    ("garbage collect", "reclaim"),
    ("garbage collector", "reclaim"),
    ("garbage collection", "reclaim"),
    ("gc", "reclaim"),
    ("row", "pair"),
    ("rows", "pairs"),
    ("rollback", "abort or revert"),
    ("foreign key", "pointer"),
    ("write batch", "commit set"),
    ("value store", "table store"),
    ("memtable", "tail"),
    ("coroutine", "operation"),
    ("TODO", "a decision or nothing"),
    ("FIXME", "a decision or nothing"),
    ("XXX", "a decision or nothing"),
];

/// Where a forbidden word may stand: path prefix, word, why.
const WORDS_ALLOWED: &[(&str, &str, &str)] = &[
    ("tests/tests/it/tidy.rs", "*", "this file lists them"),
    ("design/glossary.md", "*", "the glossary says which words we do not use"),
    ("cli/src/", "row", "printed tables have rows"),
    ("cli/src/", "rows", "printed tables have rows"),
];

/// Things that must not stand in code, and in which paths they may.
const CODE_FORBIDDEN: &[(&str, &[&str])] = &[
    (".unwrap()", &["/tests.rs", "/tests/", "tests/", "/benches/", "/examples/"]),
    ("todo!(", &[]),
    ("unimplemented!(", &[]),
    ("#[ignore", &[]),
    ("thread::sleep", &["uring/src/lock.rs", "cli/src/demo/daemon.rs"]),
    ("mod tests {", &[]),
];

/// File names that say nothing.
const NAMES_FORBIDDEN: &[&str] =
    &["util.rs", "utils.rs", "helper.rs", "helpers.rs", "manager.rs", "misc.rs", "common.rs"];

#[test]
fn crates_know_only_those_below() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .expect("cargo runs, since it runs this test");
    assert!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo prints JSON");
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages is a list") {
        let name = package["name"].as_str().expect("a package has a name");
        seen.insert(name);
        let Some(below) = allowed.get(name) else {
            findings.push(format!("{name} is a crate without a line in ARROWS"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies is a list") {
            let to = dependency["name"].as_str().expect("a dependency has a name");
            // A crate may name itself for its own tests; anything of ours must stand in its line.
            if allowed.contains_key(to) && to != name && !below.contains(&to) {
                findings.push(format!("{name} -> {to} is not an arrow of the design"));
            }
        }
    }
    for (name, _) in ARROWS {
        if !seen.contains(name) {
            findings.push(format!("ARROWS has a line for {name}, which is no crate"));
        }
    }
    report(&findings);
}

#[test]
fn every_source_file_opens_with_its_contract() {
    let findings: Vec<_> = sources()
        .iter()
        .filter(|file| !file.text.starts_with("//!") && !file.name_is("tests.rs"))
        .map(|file| format!("{}: no `//!` header in the first line", file.path))
        .collect();
    report(&findings);
}

#[test]
fn files_stay_short() {
    let mut findings = Vec::new();
    let mut past_asked = Vec::new();
    for file in sources() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{}: {lines} lines, {FILE_LINES_MAX} at most", file.path));
        }
        if lines > FILE_LINES_ASKED {
            past_asked.push(format!("{} ({lines})", file.path));
        }
        if NAMES_FORBIDDEN.iter().any(|name| file.name_is(name)) {
            findings.push(format!("{}: name the noun that is in it", file.path));
        }
    }
    if past_asked.len() > FILES_PAST_ASKED {
        findings.push(format!(
            "{} files are past {FILE_LINES_ASKED} lines, the ratchet stands at {FILES_PAST_ASKED}: {past_asked:?}",
            past_asked.len()
        ));
    }
    report(&findings);
}

#[test]
fn words_come_from_the_glossary() {
    let mut findings = Vec::new();
    for file in sources().iter().chain(&documents()) {
        for (number, line) in file.text.lines().enumerate() {
            let lower = line.to_lowercase();
            for (word, ours) in FORBIDDEN {
                let capitals = word.bytes().any(|byte| byte.is_ascii_uppercase());
                if has_word(if capitals { line } else { &lower }, word) && !word_allowed(&file.path, word) {
                    findings.push(format!("{}:{}: '{word}', we say {ours}", file.path, number + 1));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn code_has_no_loose_ends() {
    let mut findings = Vec::new();
    for file in sources() {
        if file.path.starts_with("tests/tests/it/tidy") {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            // Comments and documentation may speak of what code may not do; clippy looks at the examples in neither.
            let code = line.split("//").next().unwrap_or("");
            for (text, places) in CODE_FORBIDDEN {
                let allowed = places.iter().any(|place| file.path.contains(place));
                if code.contains(text) && !allowed {
                    findings.push(format!("{}:{}: {text}", file.path, number + 1));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn headings_of_the_design_have_text() {
    let mut findings = Vec::new();
    for file in documents().iter().filter(|file| file.path.starts_with("design/")) {
        for (line, heading) in empty_headings(&file.text) {
            findings.push(format!("{}:{line}: nothing below '{heading}'", file.path));
        }
    }
    report(&findings);
}

#[test]
fn an_empty_heading_is_found() {
    assert_eq!(empty_headings("# a\n## b\ntext\n"), []);
    assert_eq!(empty_headings("# a\ntext\n## b\n\n## c\ntext\n"), [(3, "## b".to_owned())]);
    assert_eq!(empty_headings("# a\n```\n# no heading\n```\n## b\n"), [(5, "## b".to_owned())]);
}

/// Headings with neither text nor a deeper heading below them, and their lines.
fn empty_headings(text: &str) -> Vec<(usize, String)> {
    let mut empty = Vec::new();
    let mut open: Option<(usize, usize, &str)> = None;
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        let fence = line.starts_with("```");
        fenced ^= fence;
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let heading = !fenced && !fence && level > 0 && line[level..].starts_with(' ');
        if heading {
            if let Some((at, _, heading)) = open.filter(|(_, above, _)| level <= *above) {
                empty.push((at, heading.to_owned()));
            }
            open = Some((number + 1, level, line));
        } else if !line.trim().is_empty() {
            open = None;
        }
    }
    empty.extend(open.map(|(at, _, heading)| (at, heading.to_owned())));
    empty
}

#[test]
fn a_word_is_found_as_a_word_only() {
    assert!(
        has_word("the wal.", "wal") && has_word("wal", "wal") && has_word("a garbage collector", "garbage collector")
    );
    assert!(!has_word("walk", "wal") && !has_word("a_row", "row") && !has_word("throw", "row"));
}

/// Whether `word` stands in `line` with no letter, digit or underscore on either side.
fn has_word(line: &str, word: &str) -> bool {
    let part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    line.match_indices(word).any(|(at, _)| {
        let bytes = line.as_bytes();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !part(before) && !part(bytes.get(at + word.len()))
    })
}

fn word_allowed(path: &str, word: &str) -> bool {
    WORDS_ALLOWED
        .iter()
        .any(|(prefix, allowed, _why)| path.starts_with(prefix) && (*allowed == word || *allowed == "*"))
}

/// A text file of the tree.
struct File {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

impl File {
    fn name_is(&self, name: &str) -> bool {
        self.path.rsplit('/').next() == Some(name)
    }
}

fn sources() -> Vec<File> {
    files("rs")
}

fn documents() -> Vec<File> {
    files("md")
}

/// All files with this extension, in order of their paths; build output and hidden folders left out.
fn files(extension: &str) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).expect("the tree can be read") {
            let path = item.expect("the tree can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("names in the tree are text");
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let inside = path.strip_prefix(&root).expect("it was found below the root");
                let text = fs::read_to_string(&path).expect("source files are UTF-8");
                found
                    .push(File { path: inside.to_str().expect("names in the tree are text").replace('\\', "/"), text });
            }
        }
    }
    assert!(found.len() > 1 || extension == "md", "the tree has files with .{extension}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("this crate lies in the workspace's folder").to_path_buf()
}

/// Fails with all findings.
#[track_caller]
fn report(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}
