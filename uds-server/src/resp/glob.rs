//! Patterns of keys: `*`, `?`, `[a-c]`, `[^a]`, and a backslash before what is meant as it stands.
//!
//! Contract: as Redis matches them; time is at most the product of the lengths, whatever the pattern.

/// Whether the whole text is matched by the pattern.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and the first byte of the text that it does not cover yet.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if let Some(next) = pattern.get(p).and_then(|_| one(pattern, p, text[t])) {
            (p, t) = (next, t + 1);
            continue;
        }
        // The last star takes one byte more; those before it need not.
        let Some((behind, covered)) = star else { return false };
        star = Some((behind, covered + 1));
        (p, t) = (behind, covered + 1);
    }
}

/// Matches one byte; returns the position behind what matched it.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern[at] {
        b'?' => Some(at + 1),
        b'[' => class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        literal => (literal == byte).then_some(at + 1),
    }
}

/// Matches one byte against a class that begins at `at`, behind its bracket.
fn class(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match pattern[at.min(pattern.len())..] {
            // A class without an end is ended by the pattern.
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests;
