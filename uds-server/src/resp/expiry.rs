//! When keys go: the words that say so, and the commands that ask and change it.

use super::command::Call;
use super::fault::Fault;
use super::view::View;
use super::writer::Writer;

/// Until when a value stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Expiry {
    /// For ever.
    #[default]
    None,
    /// As long as the one before it.
    Keep,
    /// Until then, milliseconds since the Unix epoch.
    At(u64),
}

impl Expiry {
    pub(crate) fn at(self) -> Option<u64> {
        match self {
            Self::At(at) => Some(at),
            Self::None | Self::Keep => None,
        }
    }
}

/// The words of an expiry at `at`, and how many there are; nothing when there are none.
pub(crate) fn parse(call: &Call<'_>, at: usize) -> Result<Option<(Expiry, usize)>, Fault> {
    let is = |word| call.args.is(at, word);
    if is("KEEPTTL") {
        return Ok(Some((Expiry::Keep, 1)));
    }
    if is("PERSIST") {
        return Ok(Some((Expiry::None, 1)));
    }
    let units = [("EX", 1000, true), ("PX", 1, true), ("EXAT", 1000, false), ("PXAT", 1, false)];
    let Some((_, unit, relative)) = units.into_iter().find(|(word, _, _)| is(word)) else { return Ok(None) };
    if at + 1 >= call.len() {
        return Err(Fault::Syntax);
    }
    let when = if relative { from_now(call, at + 1, unit)? } else { moment(call, at + 1, unit, 0)? };
    Ok(Some((Expiry::At(when), 2)))
}

/// A time from now, in units of so many milliseconds, as a moment.
pub(crate) fn from_now(call: &Call<'_>, at: usize, unit: i64) -> Result<u64, Fault> {
    moment(call, at, unit, call.now_ms)
}

/// A time of at least one unit after `base`.
fn moment(call: &Call<'_>, at: usize, unit: i64, base: u64) -> Result<u64, Fault> {
    let bad = || Fault::BadExpiry { name: call.name() };
    let number = call.integer(at)?;
    let millis = number.checked_mul(unit).filter(|millis| *millis > 0).ok_or_else(bad)?;
    let end = i64::try_from(base).ok().and_then(|base| base.checked_add(millis)).ok_or_else(bad)?;
    u64::try_from(end).map_err(|_| bad())
}

/// `EXPIRE`, `PEXPIRE`, `EXPIREAT`, `PEXPIREAT`: key, time, and perhaps when.
pub(crate) fn expire(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let unit = if call.args.is(0, "EXPIRE") || call.args.is(0, "EXPIREAT") { 1000 } else { 1 };
    let relative = call.args.is(0, "EXPIRE") || call.args.is(0, "PEXPIRE");
    let bad = || Fault::BadExpiry { name: call.name() };
    let millis = call.integer(2)?.checked_mul(unit).ok_or_else(bad)?;
    let base = if relative { i64::try_from(call.now_ms).map_err(|_| bad())? } else { 0 };
    let end = base.checked_add(millis).ok_or_else(bad)?;
    let flags = Flags::parse(call)?;
    let Some(value) = view.get(call.at(1)).cloned() else {
        out.integer(0);
        return Ok(());
    };
    let before = value.expires_ms.and_then(|at| i64::try_from(at).ok());
    if !flags.allow(before, end) {
        out.integer(0);
        return Ok(());
    }
    match u64::try_from(end).ok().filter(|end| *end > call.now_ms) {
        Some(end) => view.put(call.at(1), value.bytes, Some(end)),
        None => drop(view.delete(call.at(1))),
    }
    out.integer(1);
    Ok(())
}

/// When an expiry may be changed.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Flags {
    fn parse(call: &Call<'_>) -> Result<Self, Fault> {
        let mut flags = Self::default();
        for at in 3..call.len() {
            let is = |word| call.args.is(at, word);
            match (is("NX"), is("XX"), is("GT"), is("LT")) {
                (true, ..) => flags.nx = true,
                (_, true, ..) => flags.xx = true,
                (_, _, true, _) => flags.gt = true,
                (_, _, _, true) => flags.lt = true,
                (false, false, false, false) => {
                    return Err(Fault::Unserved { what: "this option of EXPIRE", instead: "it has NX, XX, GT and LT" });
                }
            }
        }
        if flags.nx && (flags.xx || flags.gt || flags.lt) {
            return Err(Fault::Text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if flags.gt && flags.lt {
            return Err(Fault::Text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(flags)
    }

    /// Whether the end may become `end`. None is later than any.
    fn allow(self, before: Option<i64>, end: i64) -> bool {
        !(self.nx && before.is_some()
            || self.xx && before.is_none()
            || self.gt && before.is_none_or(|before| end <= before)
            || self.lt && before.is_some_and(|before| end >= before))
    }
}

/// `TTL`, `PTTL`, `EXPIRETIME`, `PEXPIRETIME`.
pub(crate) fn ttl(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let millis = call.args.at(0)[0].eq_ignore_ascii_case(&b'p');
    let relative = !call.args.is(0, "EXPIRETIME") && !call.args.is(0, "PEXPIRETIME");
    out.integer(match view.get(call.at(1)).map(|value| value.expires_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => {
            let left = if relative { at.saturating_sub(call.now_ms) } else { at };
            // To the nearest second when time is left, as Redis does.
            let rounding = if relative { 500 } else { 0 };
            let left = if millis { left } else { left.saturating_add(rounding) / 1000 };
            i64::try_from(left).unwrap_or(i64::MAX)
        }
    });
    Ok(())
}

pub(crate) fn persist(call: &Call<'_>, view: &mut View, out: &mut Writer) -> Result<(), Fault> {
    let found = view.get(call.at(1)).filter(|value| value.expires_ms.is_some()).cloned();
    out.integer(i64::from(found.is_some()));
    if let Some(value) = found {
        view.put(call.at(1), value.bytes, None);
    }
    Ok(())
}
