//! Words of the command line that are sizes, times, ranges and permissions.
//!
//! Contract: a word that is none is refused with what would be one.

/// A size with a unit.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let scale: u64 = match text[digits.len()..].to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        other => return Err(format!("'{other}' is no unit; use K, M, G or T")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{digits}' is not a number"))?;
    number.checked_mul(scale).ok_or_else(|| format!("{text} is too large"))
}

/// A time with a unit, in milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let scale: u64 = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        other => return Err(format!("'{other}' is no unit; use ms, s, m, h or d")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{digits}' is not a number"))?;
    number.checked_mul(scale).ok_or_else(|| format!("{text} is too long"))
}

/// Bytes from one place up to another.
pub(super) fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let wrong = || format!("'{text}' is no range of bytes; write it like 0..100, or 100.. up to the end");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let from = from.parse().map_err(|_| wrong())?;
    let to = if to.is_empty() { u64::MAX } else { to.parse().map_err(|_| wrong())? };
    if from <= to { Ok(from..to) } else { Err(wrong()) }
}

pub(super) fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).map_err(|_| format!("'{text}' is not octal"))?;
    if mode > 0o777 { Err(format!("'{text}' has more than permissions")) } else { Ok(mode) }
}
