//! The commands on strings: reading, putting, appending, counting.

use super::command::{Blind, Call, Outcome};
use super::expiry::Expiry;
use super::fault::Fault;
use super::number;
use super::options::{self, SetOptions, When};
use super::task::Context;
use super::view::View;
use super::writer::Writer;
use domains::{Level, Op};
use segments::TableId;
use segments::limits::VALUE_BYTES_MAX;
use txn::{CommitSet, PutOptions};

/// Commits, under this number, and asks for persistence at once where the connection waits for it.
pub(crate) fn commit(number: u32, set: CommitSet, level: Level, context: &mut Context<'_, '_>) {
    context.ask(number, Op::Commit { set, level });
    if level == Level::Persistent {
        context.ask_aside(Op::Force);
    }
}

pub(crate) fn get(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    out.bulk_or_null(view.get(call.at(1)).map(|value| value.bytes.as_slice()));
    Ok(())
}

pub(crate) fn mget(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    out.array(call.len() - 1);
    for key in call.args.from(1) {
        out.bulk_or_null(view.get(key).map(|value| value.bytes.as_slice()));
    }
    Ok(())
}

pub(crate) fn getdel(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    get(call, view, out)?;
    view.delete(call.at(1));
    Ok(())
}

pub(crate) fn getset(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    get(call, view, out)?;
    view.put(call.at(1), call.at(2).to_vec(), None);
    Ok(())
}

pub(crate) fn getex(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let expiry = options::getex(call)?;
    get(call, view, out)?;
    let Some(value) = view.get(call.at(1)).cloned() else { return Ok(()) };
    match expiry {
        Expiry::Keep => {}
        Expiry::None => view.put(call.at(1), value.bytes, None),
        Expiry::At(at) => view.put(call.at(1), value.bytes, Some(at)),
    }
    Ok(())
}

pub(crate) fn set(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let options = SetOptions::parse(call)?;
    // A plain one looks at nothing, so nothing may have been loaded.
    let looks = options.looks() || options.when != When::Always;
    let old = if looks { view.get(call.at(1)).cloned() } else { None };
    let holds = options.when.holds(old.as_ref().map(|value| value.bytes.as_slice()));
    match (&old, options.get, holds) {
        (Some(value), true, _) => out.bulk(&value.bytes),
        (None, true, _) | (_, false, false) => out.null(),
        (_, false, true) => out.simple("OK"),
    }
    if holds {
        let expires_ms = match options.expiry {
            Expiry::Keep => old.and_then(|value| value.expires_ms),
            Expiry::None => None,
            Expiry::At(at) => Some(at),
        };
        view.put(call.at(1), call.at(2).to_vec(), expires_ms);
    }
    Ok(())
}

pub(crate) fn set_blind(call: &Call<'_>, table: TableId) -> Result<Option<Blind>, Fault> {
    let options = SetOptions::parse(call)?;
    if options.looks() {
        return Ok(None);
    }
    let put = PutOptions { expires_ms: options.expiry.at(), compressed: false, compact: false, revertible_ms: None };
    let (key, value) = (call.at(1), call.at(2));
    let mut set = CommitSet::new();
    match options.when {
        When::Always => set.upsert(table, key, value, put)?,
        When::Absent => set.insert(table, key, value, put)?,
        When::Present => set.update(table, key, value, put)?,
        When::Equals(_) | When::Differs(_) | When::Digest { .. } => return Ok(None),
    }
    Ok(Some(Blind { set, outcome: Outcome::OkOrNull }))
}

pub(crate) fn setnx(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let absent = view.get(call.at(1)).is_none();
    if absent {
        view.put(call.at(1), call.at(2).to_vec(), None);
    }
    out.integer(i64::from(absent));
    Ok(())
}

pub(crate) fn setnx_blind(call: &Call<'_>, table: TableId) -> Result<Option<Blind>, Fault> {
    let mut set = CommitSet::new();
    set.insert(table, call.at(1), call.at(2), PutOptions::default())?;
    Ok(Some(Blind { set, outcome: Outcome::OneOrZero }))
}

/// `SETEX` and `PSETEX`: key, time, value.
pub(crate) fn setex(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let at = setex_expiry(call)?;
    view.put(call.at(1), call.at(3).to_vec(), Some(at));
    out.simple("OK");
    Ok(())
}

pub(crate) fn setex_blind(call: &Call<'_>, table: TableId) -> Result<Option<Blind>, Fault> {
    let put =
        PutOptions { expires_ms: Some(setex_expiry(call)?), compressed: false, compact: false, revertible_ms: None };
    let mut set = CommitSet::new();
    set.upsert(table, call.at(1), call.at(3), put)?;
    Ok(Some(Blind { set, outcome: Outcome::OkOrNull }))
}

fn setex_expiry(call: &Call<'_>) -> Result<u64, Fault> {
    let unit = if call.args.is(0, "PSETEX") { 1 } else { 1000 };
    super::expiry::from_now(call, 2, unit)
}

pub(crate) fn mset(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    for (key, value) in pairs(call)? {
        view.put(key, value.to_vec(), None);
    }
    out.simple("OK");
    Ok(())
}

pub(crate) fn mset_blind(call: &Call<'_>, table: TableId) -> Result<Option<Blind>, Fault> {
    let mut set = CommitSet::new();
    for (key, value) in pairs(call)? {
        set.upsert(table, key, value, PutOptions::default())?;
    }
    Ok(Some(Blind { set, outcome: Outcome::OkOrNull }))
}

pub(crate) fn msetnx(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let absent = pairs(call)?.all(|(key, _)| view.get(key).is_none());
    if absent {
        mset(call, view, &mut Writer::default())?;
    }
    out.integer(i64::from(absent));
    Ok(())
}

/// `MSETEX count key value … [NX|XX] [EX …|KEEPTTL]`.
pub(crate) fn msetex(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let count = usize::try_from(call.integer(1)?).ok().filter(|count| *count > 0 && 2 + 2 * *count <= call.len());
    let count = count.ok_or(Fault::Text("ERR invalid numkeys value"))?;
    let options = SetOptions::parse_from(call, 2 + 2 * count)?;
    if options.get || matches!(options.when, When::Equals(_) | When::Differs(_) | When::Digest { .. }) {
        return Err(Fault::Syntax);
    }
    let pair = |at: usize| (call.at(2 + 2 * at), call.at(3 + 2 * at));
    let value = |view: &View, key: &[u8]| view.get(key).map(|value| value.bytes.clone());
    let holds = (0..count).all(|at| options.when.holds(value(view, pair(at).0).as_deref()));
    for (key, value) in (0..count).map(pair).filter(|_| holds) {
        let expires_ms = match options.expiry {
            Expiry::Keep => view.get(key).and_then(|value| value.expires_ms),
            Expiry::None => None,
            Expiry::At(at) => Some(at),
        };
        view.put(key, value.to_vec(), expires_ms);
    }
    out.integer(i64::from(holds));
    Ok(())
}

/// Keys and values in turn.
fn pairs<'a>(call: &Call<'a>) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a>, Fault> {
    if call.len().is_multiple_of(2) {
        return Err(Fault::ArgCount { name: call.name() });
    }
    let call = *call;
    Ok((1..call.len()).step_by(2).map(move |at| (call.at(at), call.at(at + 1))))
}

pub(crate) fn append(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let at = view.get(call.at(1)).map_or(0, |value| value.bytes.len());
    splice(call.at(1), at, call.at(2), view, out)
}

pub(crate) fn setrange(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let at = usize::try_from(call.integer(2)?).map_err(|_| Fault::BadOffset)?;
    if call.at(3).is_empty() {
        out.count(view.get(call.at(1)).map_or(0, |value| value.bytes.len()));
        return Ok(());
    }
    splice(call.at(1), at, call.at(3), view, out)
}

/// Puts bytes into a value at a position, zeros before it where there is nothing. At the end they are appended, what is before them
/// stays; in the middle the value is changed and put again as a whole.
fn splice(key: &[u8], at: usize, piece: &[u8], view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let end = at.checked_add(piece.len()).filter(|end| *end <= VALUE_BYTES_MAX).ok_or(Fault::TooLong)?;
    let Some(mut value) = view.get(key).filter(|value| at < value.bytes.len()).cloned() else {
        out.count(view.append(key, at, piece));
        return Ok(());
    };
    if value.bytes.len() < end {
        value.bytes.resize(end, 0);
    }
    value.bytes[at..end].copy_from_slice(piece);
    out.count(value.bytes.len());
    view.put(key, value.bytes, value.expires_ms);
    Ok(())
}

pub(crate) fn incr(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    add(1, call, view, out)
}

pub(crate) fn decr(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    add(-1, call, view, out)
}

pub(crate) fn incrby(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    add(call.integer(2)?, call, view, out)
}

pub(crate) fn decrby(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let step = call.integer(2)?.checked_neg().ok_or(Fault::Text("ERR decrement would overflow"))?;
    add(step, call, view, out)
}

fn add(step: i64, call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let (before, expires_ms) = match view.get(call.at(1)) {
        None => (0, None),
        Some(value) => (number::integer(&value.bytes).ok_or(Fault::NotInteger)?, value.expires_ms),
    };
    let sum = before.checked_add(step).ok_or(Fault::Overflow)?;
    let mut text = Vec::new();
    number::push(&mut text, sum);
    view.put(call.at(1), text, expires_ms);
    out.integer(sum);
    Ok(())
}

pub(crate) fn incrbyfloat(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let step = number::float(call.at(2)).ok_or(Fault::NotFloat)?;
    let (before, expires_ms) = match view.get(call.at(1)) {
        None => (0.0, None),
        Some(value) => (number::float(&value.bytes).ok_or(Fault::NotFloat)?, value.expires_ms),
    };
    let sum = before + step;
    if !sum.is_finite() {
        return Err(Fault::NotFinite);
    }
    let text = number::float_text(sum);
    out.bulk(text.as_bytes());
    view.put(call.at(1), text.into_bytes(), expires_ms);
    Ok(())
}
