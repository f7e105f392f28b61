//! `append`: bytes at the end of a pair's record.
//!
//! Contract: as `put`, but that the record grows. A table with fields is refused: bytes behind its records would break them.

use super::{Opened, expect_of, mismatch, one_from_stdin, put_options, split, txn_options};
use crate::args::{Append, Target};
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::reach::reach;
use crate::shape::Shape;
use crate::words;
use serde_json::json;

/// Bytes are added to records of plain bytes alone.
pub(crate) fn only_bytes(shape: Shape<'_>, pair: &str) -> Result<(), Failure> {
    if shape.info.spec.record.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("the records of '{}' have fields, and bytes behind them would break them", shape.info.name),
        format!("put the whole record: `lostore put {pair} '{{..}}'`"),
    ))
}

pub(crate) fn append(target: &Target, args: &Append, output: &mut Output) -> Result<(), Failure> {
    let (name, key) = split(&args.pair)?;
    one_from_stdin(key, &args.value)?;
    let expect = args.how.expect.as_deref().map(expect_of).transpose()?;
    let options = put_options(&args.how)?;
    let store = reach(target)?;
    let opened = Opened::open(&store, name)?;
    let shape = opened.shape();
    only_bytes(shape, &args.pair)?;
    let key = shape.key_from_word(key)?;
    let more = words::read(&args.value)?;

    let mut txn = store.txn_with(txn_options(&store, args.how.no_wait))?;
    let mut raw = txn.raw(&opened.table);
    if let Some(expect) = expect {
        raw.compare(&key, expect)?;
    }
    raw.append(&key, &more, options)?;
    let ticket = txn.commit().map_err(|error| mismatch(error, &args.pair))?;
    let version = *ticket.versions().first().ok_or(lostore::Error::WrongAnswer { asked: "an append" })?;
    match output.format {
        Format::Table | Format::Raw | Format::Hex => output.line(&version.to_string()),
        Format::Json | Format::Jsonl => output.document(&json!({
            "table": name, "key": shape.key_to_json(&key), "version": version.to_string(),
            "persistent": ticket.is_persistent(),
        })),
    }
}
