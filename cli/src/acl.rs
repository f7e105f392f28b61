//! `acl`: the rules of who may do what, looked at without a server.
//!
//! Contract: `check` accepts what `serve --acl` accepts and nothing else, and prints each rule as it was understood; `explain` says
//! what a caller may do on a table, and by which lines.

use crate::args::{Acl, Explain};
use crate::failure::Failure;
use crate::output::{Format, Output};
use lostore::OpenError;
use serde_json::json;
use std::path::Path;
use uds_server::acl::{Caller, Rights, Rule, Rules, UID_UNMAPPED, Who};

pub(crate) fn acl(acl: &Acl, output: &mut Output) -> Result<(), Failure> {
    match acl {
        Acl::Check { file } => check(file, output),
        Acl::Explain(question) => explain(question, output),
    }
}

fn read(file: &Path) -> Result<Rules, Failure> {
    Rules::read(file).map_err(|error| {
        let failure = Failure::from(OpenError::Rules { why: error.to_string() });
        Failure { exit: crate::failure::Exit::Usage, ..failure }
    })
}

fn check(file: &Path, output: &mut Output) -> Result<(), Failure> {
    for rule in read(file)?.all() {
        show(rule, output)?;
    }
    Ok(())
}

fn explain(question: &Explain, output: &mut Output) -> Result<(), Failure> {
    let rules = read(&question.file)?;
    let gid = question.gid.first().copied().unwrap_or(question.uid);
    let caller = Caller { uid: question.uid, gid, groups: question.gid.clone() };
    let mine = rules.of(&caller);
    // Owner and root are not told by rules; the file knows neither, so it is said in words.
    let table = question.table.as_str();
    let rights = mine.on(table).with(mine.of_server());
    let why: Vec<&Rule> = mine.all().iter().filter(|rule| gives(rule, table)).collect();
    if is_document(output) {
        let lines: Vec<usize> = why.iter().map(|rule| rule.line).collect();
        let rights = names(rights);
        return output.line(
            &json!({ "uid": caller.uid, "table": table, "connects": !mine.is_empty(), "rights": rights, "lines": lines })
                .to_string(),
        );
    }
    output.line(&format!("user {} on table '{table}': {rights}", caller.uid))?;
    for rule in why {
        show(rule, output)?;
    }
    let note = match (caller.uid, mine.is_empty()) {
        (0, _) => "root may do everything, whatever the rules say",
        (UID_UNMAPPED, true) => "as 65534 all users appear that are not mapped: only a rule for uid:65534 is for them",
        (_, true) => "no rule is for this caller, so it may not connect, unless it is the server's own user",
        (_, false) => return Ok(()),
    };
    crate::failure::talk(note);
    Ok(())
}

/// Whether a rule gives something that matters for this table.
fn gives(rule: &Rule, table: &str) -> bool {
    (rule.matches(table) && !rule.rights.of_table().is_empty()) || !rule.rights.of_server().is_empty()
}

fn is_document(output: &Output) -> bool {
    matches!(output.format, Format::Json | Format::Jsonl)
}

fn names(rights: Rights) -> Vec<String> {
    rights.to_string().split(',').filter(|name| *name != "none").map(str::to_owned).collect()
}

/// A rule as a line that could stand in the file.
fn show(rule: &Rule, output: &mut Output) -> Result<(), Failure> {
    let who = match rule.who {
        Who::User(uid) => format!("uid:{uid}"),
        Who::Group(gid) => format!("gid:{gid}"),
        Who::All => "*".to_owned(),
    };
    let Rule { pattern, rights, line, .. } = rule;
    if is_document(output) {
        let document = json!({ "line": line, "who": who, "tables": pattern, "rights": names(*rights) });
        return output.line(&document.to_string());
    }
    output.line(&format!("{who} {pattern} {rights} # line {line}"))
}
