//! Numbers as text, as strictly as Redis reads them, and written without an allocation.

/// The integer that these bytes are, and exactly these: no plus, no spaces, no leading zeros, no negative zero.
#[must_use]
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The finite number that these bytes are.
#[must_use]
pub(crate) fn float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.bytes().next().is_some_and(|first| !first.is_ascii_whitespace());
    text.parse::<f64>().ok().filter(|number| plain && number.is_finite())
}

/// Appends an integer's digits.
pub(crate) fn push(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// A number as Redis prints the result of INCRBYFLOAT: shortest, never with an exponent.
#[must_use]
pub(crate) fn float_text(number: f64) -> String {
    format!("{number}")
}

#[cfg(test)]
mod tests;
