//! `verify --socket`, and how pointers and rules are told: of a store in use as of one at rest.
//!
//! Contract: an interrupt (SIGINT) ends the check, not the report: what was found so far is printed, and that it is not all.

use super::pointers::{self, Breach, Sheet, State, Tally};
use crate::args::{Target, Verify};
use crate::failure::{Exit, Failure, SCHEMA};
use crate::output::{Format, Output, count_text};
use crate::reach::reach;
use serde_json::{Value, json};
use signal_hook::consts::SIGINT;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Checks the pointers and rules of a store that is running.
pub(super) fn verify(target: &Target, args: &Verify, output: &mut Output) -> Result<(), Failure> {
    let store = reach(target)?;
    let sheet = pointers::check(&store, State::InUse, args.limit, &*stop_on_interrupt()?)?;
    match output.format {
        Format::Json | Format::Jsonl => {
            let mut document = document(&sheet);
            document["ok"] = (sheet.bad() == 0 && !sheet.interrupted).into();
            output.document(&document)?;
        }
        Format::Table | Format::Raw | Format::Hex => {
            text(&sheet, output)?;
            output.line(if sheet.bad() == 0 { "ok" } else { "pointers or rules are broken" })?;
        }
    }
    verdict(&sheet)
}

/// What the first interrupt sets; the second ends the process as usual.
pub(super) fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    // In this order: the first interrupt finds the flag not set yet.
    let ended = signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&stop));
    let flagged = ended.and_then(|_| signal_hook::flag::register(SIGINT, Arc::clone(&stop)));
    flagged.map_err(|error| Failure::file("watch for", "signals", &error))?;
    Ok(stop)
}

/// How a check of the schema ends.
pub(super) fn verdict(sheet: &Sheet) -> Result<(), Failure> {
    let help = "the lines above name them; `--limit` names more, `lostore schema` shows what should hold".to_owned();
    if sheet.bad() > 0 {
        let what = format!("{} pointers or records are not as the schema says", sheet.bad());
        return Err(Failure { exit: Exit::No, code: Some(SCHEMA), what, help });
    }
    if sheet.interrupted {
        return Err(Failure::no(format!("interrupted after {} records; what was checked is sound", sheet.pairs)));
    }
    Ok(())
}

/// The check as parts of a document.
pub(super) fn document(sheet: &Sheet) -> Value {
    let pointer = |tally: &Tally| {
        json!({
            "table": tally.table, "field": tally.field, "to": tally.to,
            "null": tally.null, "found": tally.found, "dangling": tally.dangling,
            "expired": tally.expired, "wrong_table": tally.wrong_table, "unjudged": tally.unjudged,
        })
    };
    let rule = |tally: &Tally| json!({ "table": tally.table, "field": tally.field, "broken": tally.broken });
    let breach = |breach: &Breach| {
        json!({
            "kind": breach.kind, "table": breach.table, "key": breach.key, "field": breach.field, "what": breach.what,
        })
    };
    json!({
        "complete": !sheet.interrupted,
        "records_checked": sheet.pairs,
        "records_unreadable": sheet.unreadable,
        "pointers": sheet.fields.iter().filter(|tally| tally.to.is_some()).map(pointer).collect::<Vec<Value>>(),
        "rules": sheet.fields.iter().filter(|tally| tally.ruled).map(rule).collect::<Vec<Value>>(),
        "breached": sheet.bad(),
        "breaches": sheet.breaches.iter().map(breach).collect::<Vec<Value>>(),
    })
}

/// The check as lines.
pub(super) fn text(sheet: &Sheet, output: &mut Output) -> Result<(), Failure> {
    if !sheet.fields.is_empty() {
        let headings = ["field", "to", "found", "null", "dangling", "expired", "wrong table", "broken rules"];
        let rows: Vec<Vec<String>> = sheet.fields.iter().map(row).collect();
        output.rows(&headings, &rows)?;
    }
    for breach in &sheet.breaches {
        let field = breach.field.as_ref().map(|name| format!(" '{name}'")).unwrap_or_default();
        output.line(&format!("BREACH  {}/{}:{field} {}", breach.table, breach.key, breach.what))?;
    }
    let told = sheet.breaches.len() as u64;
    if told < sheet.bad() {
        output.line(&format!("BREACH  and {} more (--limit)", count_text(sheet.bad() - told)))?;
    }
    let unjudged: u64 = sheet.fields.iter().map(|tally| tally.unjudged).sum();
    if unjudged > 0 {
        output
            .line(&format!("note    {} pointers to volatile tables, which are empty at rest", count_text(unjudged)))?;
    }
    if sheet.interrupted {
        output.line(&format!("note    interrupted after {} records", count_text(sheet.pairs)))?;
    }
    Ok(())
}

fn row(tally: &Tally) -> Vec<String> {
    let of_pointer = |count: u64| if tally.to.is_some() { count_text(count) } else { "-".to_owned() };
    vec![
        format!("{}.{}", tally.table, tally.field),
        tally.to.clone().unwrap_or_else(|| "-".to_owned()),
        of_pointer(tally.found),
        of_pointer(tally.null),
        of_pointer(tally.dangling),
        of_pointer(tally.expired),
        of_pointer(tally.wrong_table),
        if tally.ruled || tally.broken > 0 { count_text(tally.broken) } else { "-".to_owned() },
    ]
}
