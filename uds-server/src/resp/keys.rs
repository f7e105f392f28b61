//! The commands on keys, whatever their values.

use super::command::{Blind, Call, Outcome};
use super::fault::{Fault, quoted};
use super::options::{self, When};
use super::view::View;
use super::writer::Writer;
use segments::TableId;
use txn::CommitSet;

/// Memory that a pair takes beside its key and value: its header, and its place in the index.
const PAIR_BYTES: usize = 64;

/// `DEL` and `UNLINK`.
pub(crate) fn del(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    out.count(call.args.from(1).filter(|key| view.delete(key)).count());
    Ok(())
}

pub(crate) fn del_blind(call: &Call<'_>, table: TableId) -> Result<Option<Blind>, Fault> {
    if call.len() != 2 {
        return Ok(None);
    }
    let mut set = CommitSet::new();
    set.delete(table, call.at(1))?;
    Ok(Some(Blind { set, outcome: Outcome::OneOrZero }))
}

/// `DELEX key [IFEQ value|…]`, and `DELIFEQ key value`.
pub(crate) fn delex(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let when = if call.args.is(0, "DELIFEQ") {
        When::Equals(call.at(2))
    } else {
        match (call.len(), options::condition(call, 2)?) {
            (2, _) => When::Present,
            (4, Some(when)) => when,
            _ => return Err(Fault::Syntax),
        }
    };
    let found = view.get(call.at(1)).map(|value| value.bytes.as_slice());
    let holds = found.is_some() && when.holds(found);
    if holds {
        view.delete(call.at(1));
    }
    out.integer(i64::from(holds));
    Ok(())
}

/// `EXISTS` and `TOUCH`: a key that is named twice counts twice.
pub(crate) fn exists(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    out.count(call.args.from(1).filter(|key| view.get(key).is_some()).count());
    Ok(())
}

pub(crate) fn type_of(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    out.simple(if view.get(call.at(1)).is_some() { "string" } else { "none" });
    Ok(())
}

pub(crate) fn digest(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let digest = view.get(call.at(1)).map(|value| options::digest_text(&value.bytes));
    out.bulk_or_null(digest.as_deref().map(str::as_bytes));
    Ok(())
}

/// `RENAME` and `RENAMENX`.
pub(crate) fn rename(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let (from, to) = (call.at(1), call.at(2));
    let only_new = call.args.is(0, "RENAMENX");
    let value = view.get(from).cloned().ok_or(Fault::NoSuchKey)?;
    let taken = view.get(to).is_some();
    if !(only_new && taken) {
        view.delete(from);
        view.put(to, value.bytes, value.expires_ms);
    }
    if only_new {
        out.integer(i64::from(!taken));
    } else {
        out.simple("OK");
    }
    Ok(())
}

/// `COPY from to [REPLACE]`.
pub(crate) fn copy(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let replace = match call.len() {
        3 => false,
        4 if call.args.is(3, "REPLACE") => true,
        _ if call.args.is(3, "DB") => {
            return Err(Fault::Unserved { what: "COPY to another database", instead: "read the key and SET it there" });
        }
        _ => return Err(Fault::Syntax),
    };
    if call.at(1) == call.at(2) {
        return Err(Fault::Text("ERR source and destination objects are the same"));
    }
    let found = view.get(call.at(1)).cloned().filter(|_| replace || view.get(call.at(2)).is_none());
    out.integer(i64::from(found.is_some()));
    if let Some(value) = found {
        view.put(call.at(2), value.bytes, value.expires_ms);
    }
    Ok(())
}

/// `MEMORY USAGE key [SAMPLES count]`.
pub(crate) fn memory(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    if !call.args.is(1, "USAGE") {
        return Err(Fault::Subcommand { command: "MEMORY", name: quoted(call.at(1)) });
    }
    match view.get(call.at(2)) {
        Some(value) => out.count(call.at(2).len() + value.bytes.len() + PAIR_BYTES),
        None => out.null(),
    }
    Ok(())
}

/// `OBJECT ENCODING|REFCOUNT key`.
pub(crate) fn object(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let there = view.get(call.at(2)).is_some();
    let is = |word| call.args.is(1, word);
    match (is("ENCODING"), is("REFCOUNT"), is("FREQ") || is("IDLETIME")) {
        (true, ..) if there => out.bulk(b"raw"),
        (_, true, _) if there => out.integer(1),
        (true, ..) | (_, true, _) => return Err(Fault::NoSuchKey),
        (_, _, true) => {
            let instead = "lostore keeps no statistics of single keys";
            return Err(Fault::Unserved { what: "OBJECT FREQ and OBJECT IDLETIME", instead });
        }
        (false, false, false) => return Err(Fault::Subcommand { command: "OBJECT", name: quoted(call.at(1)) }),
    }
    Ok(())
}
