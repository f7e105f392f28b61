//! A line of words, as a person types it: split at spaces, with quotes.
//!
//! Contract: the rules are those of Redis: `"a b"` is one word and knows `\n \r \t \b \a \xHH`, `'a b'` is one word and knows
//! `\'` only; a closing quote ends its word.

use super::parser::Span;

/// Appends the line's words to `words` and where each lies to `spans`; nothing when quotes do not match.
pub(crate) fn split(line: &[u8], words: &mut Vec<u8>, spans: &mut Vec<Span>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(());
        }
        let start = words.len();
        rest = word(rest, words)?;
        let number = |count: usize| u32::try_from(count).expect("a line is at most 64 KiB");
        spans.push((number(start), number(words.len() - start)));
    }
}

/// Takes one word; returns what is behind it.
fn word<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [byte, ..] if byte.is_ascii_whitespace() => return Some(&rest[1..]),
            [quote @ (b'"' | b'\''), behind @ ..] => {
                let behind = quoted(*quote, behind, words)?;
                // A closing quote must end the word.
                return if behind.first().is_none_or(u8::is_ascii_whitespace) { Some(behind) } else { None };
            }
            [byte, behind @ ..] => {
                words.push(*byte);
                rest = behind;
            }
        }
    }
}

/// Takes what stands in quotes; returns what is behind the closing one.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match (quote, rest) {
            (_, []) => return None,
            (_, [byte, behind @ ..]) if *byte == quote => return Some(behind),
            (b'\'', [b'\\', b'\'', behind @ ..]) => {
                words.push(b'\'');
                rest = behind;
            }
            (b'"', [b'\\', b'x', high, low, behind @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                words.push(digit(*high) << 4 | digit(*low));
                rest = behind;
            }
            (b'"', [b'\\', letter, behind @ ..]) => {
                words.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = behind;
            }
            (_, [byte, behind @ ..]) => {
                words.push(*byte);
                rest = behind;
            }
        }
    }
}

fn digit(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter - b'0',
        _ => (letter | 0x20) - b'a' + 10,
    }
}
