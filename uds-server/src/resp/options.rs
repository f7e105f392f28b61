//! The words behind a command: when it takes effect, and until when.

use super::command::Call;
use super::expiry::{self, Expiry};
use super::fault::Fault;
use xxhash_rust::xxh3::xxh3_64;

/// When an update takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum When<'a> {
    #[default]
    Always,
    /// `NX`.
    Absent,
    /// `XX`.
    Present,
    /// `IFEQ`: it is there and is this.
    Equals(&'a [u8]),
    /// `IFNE`: it is not there or is something else.
    Differs(&'a [u8]),
    /// `IFDEQ` and `IFDNE`: the same of its digest.
    Digest { digest: u64, equal: bool },
}

impl When<'_> {
    /// Whether it holds for what is there.
    pub(crate) fn holds(&self, value: Option<&[u8]>) -> bool {
        match *self {
            Self::Always => true,
            Self::Absent => value.is_none(),
            Self::Present => value.is_some(),
            Self::Equals(other) => value == Some(other),
            Self::Differs(other) => value != Some(other),
            Self::Digest { digest, equal } => (value.map(xxh3_64) == Some(digest)) == equal,
        }
    }
}

/// A digest as it is printed: 16 digits.
pub(crate) fn digest_text(value: &[u8]) -> String {
    format!("{:016x}", xxh3_64(value))
}

fn digest(text: &[u8]) -> Result<u64, Fault> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16);
    let number = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    number.ok_or(Fault::Text("ERR a digest has 16 hexadecimal digits, as DIGEST gives it"))
}

/// A condition and its operand, if the word at `at` is one.
pub(crate) fn condition<'a>(call: &Call<'a>, at: usize) -> Result<Option<When<'a>>, Fault> {
    let words = ["IFEQ", "IFNE", "IFDEQ", "IFDNE"];
    let Some(word) = words.into_iter().find(|word| call.args.is(at, word)) else { return Ok(None) };
    let operand = call.args.get(at + 1).ok_or(Fault::Syntax)?;
    Ok(Some(match word {
        "IFEQ" => When::Equals(operand),
        "IFNE" => When::Differs(operand),
        word => When::Digest { digest: digest(operand)?, equal: word == "IFDEQ" },
    }))
}

/// What stands behind the value of a `SET`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SetOptions<'a> {
    pub(crate) when: When<'a>,
    /// The old value is wanted.
    pub(crate) get: bool,
    pub(crate) expiry: Expiry,
}

impl<'a> SetOptions<'a> {
    pub(crate) fn parse(call: &Call<'a>) -> Result<Self, Fault> {
        Self::parse_from(call, 3)
    }

    /// The words from `at` on.
    pub(crate) fn parse_from(call: &Call<'a>, mut at: usize) -> Result<Self, Fault> {
        let (mut options, mut expiry) = (Self::default(), None);
        while at < call.len() {
            let when = if call.args.is(at, "NX") {
                Some(When::Absent)
            } else if call.args.is(at, "XX") {
                Some(When::Present)
            } else {
                condition(call, at)?
            };
            if let Some(when) = when {
                if options.when != When::Always {
                    return Err(Fault::Syntax);
                }
                options.when = when;
                at += if matches!(when, When::Absent | When::Present) { 1 } else { 2 };
            } else if call.args.is(at, "GET") {
                options.get = true;
                at += 1;
            } else {
                let (found, words) = expiry::parse(call, at)?.ok_or(Fault::Syntax)?;
                if expiry.replace(found).is_some() || call.args.is(at, "PERSIST") {
                    return Err(Fault::Syntax);
                }
                at += words;
            }
        }
        options.expiry = expiry.unwrap_or_default();
        Ok(options)
    }

    /// Whether what is there must be read, beyond whether it is there.
    pub(crate) fn looks(&self) -> bool {
        let compares = matches!(self.when, When::Equals(_) | When::Differs(_) | When::Digest { .. });
        self.get || compares || self.expiry == Expiry::Keep
    }
}

/// What stands behind the key of a `GETEX`.
pub(crate) fn getex(call: &Call<'_>) -> Result<Expiry, Fault> {
    if call.len() == 2 {
        return Ok(Expiry::Keep);
    }
    match expiry::parse(call, 2)? {
        Some((expiry, words)) if 2 + words == call.len() && !call.args.is(2, "KEEPTTL") => Ok(expiry),
        Some(_) | None => Err(Fault::Syntax),
    }
}
