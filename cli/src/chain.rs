//! `follow --depth` and `verify --pair`: what leads from a record on, and whether a record came here as it was written.
//!
//! Contract: a chain is printed record by record, and then what ended it; only a first record that is not there is exit 1. A
//! record that is damaged, in the store or on the way, is exit 4.

use crate::args::Target;
use crate::failure::{DAMAGE, Exit, Failure};
use crate::output::{Format, Output};
use crate::pairs::{Opened, document, split};
use crate::reach::reach;
use crate::words;
use lostore::{ChainEnd, Verdict};
use serde_json::{Value, json};

/// Records of one chain when nobody says how many: as many as one answer carries.
const RECORDS_MAX: u32 = 4096;

/// Prints a chain of at most so many pointers and records.
pub(crate) fn follow(
    opened: &Opened,
    key: &[u8],
    field: u16,
    (depth, count): (Option<u32>, Option<u32>),
    output: &mut Output,
) -> Result<(), Failure> {
    let chain = opened.table.follow_chain(key, &[field], depth.unwrap_or(u32::MAX), count.unwrap_or(RECORDS_MAX))?;
    let (name, shown) = ending(&chain.end);
    if chain.end == ChainEnd::Absent {
        let shape = opened.shape();
        return Err(Failure::no(format!("{}/{} is not there", shape.info.name, shape.key_to_word(key))));
    }
    let shape_of = |table| opened.shape_at(table).unwrap_or_else(|| opened.shape());
    if matches!(output.format, Format::Json | Format::Jsonl) {
        let links: Vec<Value> = chain.links.iter().map(|(table, pair)| document(shape_of(*table), pair)).collect();
        return output.document(&json!({ "links": links, "end": name, "what": shown }));
    }
    for (table, pair) in &chain.links {
        let shape = shape_of(*table);
        match output.format {
            Format::Raw => output.bytes(&pair.value)?,
            Format::Hex => output.line(&words::to_hex(&pair.value))?,
            Format::Table | Format::Json | Format::Jsonl => {
                let (key, record) = (shape.key_to_word(&pair.key), shape.record_to_word(&pair.value));
                output.line(&format!("{}/{key}\t{record}", shape.info.name))?;
            }
        }
    }
    if output.format == Format::Table { output.line(&format!("end: {shown}")) } else { Ok(()) }
}

/// An end's name, and what it says.
fn ending(end: &ChainEnd) -> (&'static str, String) {
    match end {
        ChainEnd::Absent => ("absent", "the first record is not there".to_owned()),
        ChainEnd::Null => ("null", "the last record leads nowhere".to_owned()),
        ChainEnd::Dangling { key } => ("dangling", format!("it leads to {}, which is not there", words::show(key))),
        ChainEnd::Expired { key } => ("expired", format!("it leads to {}, which has expired", words::show(key))),
        ChainEnd::Cycle { link } => ("cycle", format!("it leads back to record {link} of the chain, counted from 0")),
        ChainEnd::WrongType { field } => {
            ("wrong type", format!("field {field} is no pointer there, or to a table that cannot have its key"))
        }
        ChainEnd::Depth => ("depth", "as many pointers as were asked for have been followed".to_owned()),
        ChainEnd::Count => ("count", "there are more records than one answer carries".to_owned()),
    }
}

pub(crate) fn verify_pair(target: &Target, pair: &str, output: &mut Output) -> Result<(), Failure> {
    let (name, key) = split(pair)?;
    let opened = Opened::open(&reach(target)?, name)?;
    let key = opened.shape().key_from_word(key)?;
    let (state, from_device, what) = match opened.table.verify(&key)? {
        Verdict::Absent => return Err(Failure::no(format!("{pair} is not there"))),
        Verdict::Whole { from_device: true, .. } => ("whole", true, "it is on the device as it was written".to_owned()),
        Verdict::Whole { from_device: false, .. } => {
            ("whole", false, "it is in memory as it was written; its table has no other place".to_owned())
        }
        Verdict::DamagedInStore { why } => return Err(damaged(pair, why, "restore it from a backup or delete it")),
        Verdict::DamagedOnTheWay { expected, found } => {
            let why = format!("its value has checksum {found:#010x} here, it was written with {expected:#010x}");
            return Err(damaged(
                pair,
                why,
                "it was changed between the store and here; try again, and test the memory",
            ));
        }
    };
    match output.format {
        Format::Table | Format::Raw | Format::Hex => output.line(&format!("{state}: {what}")),
        Format::Json | Format::Jsonl => {
            output.document(&json!({ "pair": pair, "state": state, "from_device": from_device }))
        }
    }
}

fn damaged(pair: &str, why: String, help: &str) -> Failure {
    Failure {
        exit: Exit::Corruption,
        code: Some(DAMAGE),
        what: format!("{pair} is damaged: {why}"),
        help: help.to_owned(),
    }
}
