//! `design/requirements.md` against the list of promises, and against the tests that it names.
//!
//! Contract: every id stands there exactly once, with one of three statuses; one that works names, in backquotes, at least one
//! test function of this tree, and every such name is a function under `#[test]`. One that does not says what is missing.

use super::{documents, report, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The groups of promises: letter and how many. Ids are never reused or renumbered.
const GROUPS: &[(&str, u32)] = &[("R", 29), ("Y", 32), ("L", 19), ("B", 22), ("M", 44), ("D", 13)];

/// The shortest text that can say what is missing or shown.
const TEXT_BYTES_MIN: usize = 5;

/// One line of the document.
#[derive(Debug)]
struct Line<'a> {
    promise: &'a str,
    status: &'a str,
    shown: &'a str,
}

#[test]
fn every_promise_has_a_status() {
    let documents = documents();
    let text = documents
        .iter()
        .find(|file| file.path == "design/requirements.md")
        .map(|file| file.text.as_str())
        .expect("design/requirements.md exists");
    let mut findings = Vec::new();
    let lines = lines_of(text, &mut findings);
    let tests = test_names();
    let mut ids = BTreeSet::new();
    for (group, count) in GROUPS {
        ids.extend((1..=*count).map(|number| format!("{group}{number}")));
    }
    for id in &ids {
        match lines.get(id.as_str()) {
            Some(line) => findings.extend(complaint(line, &tests).map(|what| format!("{id}: {what}"))),
            None => findings.push(format!("{id} is missing")),
        }
    }
    for id in lines.keys().filter(|id| !ids.contains(**id)) {
        findings.push(format!("{id} is no id of a promise"));
    }
    report(&findings);
}

/// `design/io-rules.md`: every rule has its line, and every test that a line names is there.
#[test]
fn every_rule_of_input_and_output_names_tests_that_exist() {
    let documents = documents();
    let rules = documents.iter().find(|file| file.path == "design/io-rules.md").expect("design/io-rules.md exists");
    let tests = test_names();
    let lines: Vec<&str> = rules.text.lines().filter(|line| line.starts_with("| U")).collect();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(&lines) {
        if !line.starts_with(&format!("| U{number} |")) {
            findings.push(format!("U{number} is not in its place: {line}"));
        }
        // A test's name has words; types and the names of mutants have capitals.
        let named = line.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 1);
        findings.extend(named.filter(|name| !tests.contains(*name)).map(|name| format!("U{number}: no test '{name}'")));
    }
    assert_eq!(lines.len(), 23, "the list has so many rules");
    report(&findings);
}

/// What is wrong with a line, if anything is.
fn complaint(line: &Line<'_>, tests: &BTreeSet<String>) -> Option<String> {
    if line.promise.len() < TEXT_BYTES_MIN || line.shown.len() < TEXT_BYTES_MIN {
        return Some("promise and last column must say something".to_owned());
    }
    let named: Vec<_> = line.shown.split('`').skip(1).step_by(2).filter(|name| is_name(name)).collect();
    match line.status {
        "works" if named.is_empty() => Some("it works, so which test shows it?".to_owned()),
        "works" => named
            .iter()
            .find(|name| !tests.contains(**name))
            .map(|name| format!("there is no test function '{name}' in the tree")),
        "partly" | "not yet" => None,
        other => Some(format!("'{other}' is not one of works, partly, not yet")),
    }
}

/// Lines `| id | promise | status | shown |`, by id.
fn lines_of<'a>(text: &'a str, findings: &mut Vec<String>) -> BTreeMap<&'a str, Line<'a>> {
    let mut lines = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, id, promise, status, shown, _] = cells[..] else {
            findings.push(format!("a line of requirements.md has no four columns: {line}"));
            continue;
        };
        if id == "id" || id.starts_with('-') {
            continue;
        }
        if lines.insert(id, Line { promise, status, shown }).is_some() {
            findings.push(format!("{id} stands there twice"));
        }
    }
    lines
}

/// Names of all functions of the tree that stand under `#[test]`.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in sources() {
        let mut marked = false;
        for line in file.text.lines().map(str::trim) {
            marked |= line == "#[test]";
            let function = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("fn ");
            if let Some(rest) = function
                && std::mem::take(&mut marked)
            {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            }
        }
    }
    assert!(names.contains("every_promise_has_a_status"), "the search finds this test itself");
    names
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[test]
fn a_bad_line_is_found() {
    let tests = BTreeSet::from(["shown".to_owned()]);
    let check = |status, shown| complaint(&Line { promise: "long enough", status, shown }, &tests);
    assert_eq!(check("works", "the test `shown`"), None);
    assert_eq!(check("not yet", "nothing built"), None);
    assert!(check("works", "no test at all").is_some());
    assert!(check("works", "`missing_test`").is_some());
    assert!(check("almost", "nothing built").is_some());
    assert!(check("partly", "").is_some());
}
