//! Bytes as words of a command line, and back.
//!
//! Contract: a word is text, `hex:..`, `@file` (the file's bytes) or `-` (stdin's bytes). [`show`] gives a word that [`read`]
//! reads as the same bytes: as text when that is safe, as `hex:..` otherwise.

use crate::failure::Failure;
use std::io::Read;

/// Begins a word of hexadecimal digits.
pub(crate) const HEX: &str = "hex:";

/// The bytes that a word stands for.
pub(crate) fn read(word: &str) -> Result<Vec<u8>, Failure> {
    if word == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| Failure::file("read", "stdin", &error))?;
        return Ok(bytes);
    }
    if let Some(path) = word.strip_prefix('@') {
        return std::fs::read(path).map_err(|error| Failure::file("read", path, &error));
    }
    match from_hex(word) {
        Some(bytes) => bytes,
        None => Ok(word.as_bytes().to_vec()),
    }
}

/// The bytes of a `hex:..` word; `None` for any other word.
pub(crate) fn from_hex(word: &str) -> Option<Result<Vec<u8>, Failure>> {
    let digits = word.strip_prefix(HEX)?;
    let refuse = || {
        Failure::usage(
            format!("'{word}' is not hexadecimal"),
            "write two digits of 0-9 and a-f for each byte, as in hex:00ff",
        )
    };
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Some(Err(refuse()));
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
    // A sign is read as part of a number, and is no digit.
    let signed = digits.contains(['+', '-']);
    let bytes: Result<Vec<u8>, _> = pairs.collect();
    Some(bytes.ok().filter(|_| !signed).ok_or_else(refuse))
}

/// A word for these bytes, that is read back as them.
pub(crate) fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain(text) => text.to_owned(),
        Ok(_) | Err(_) => to_hex(bytes),
    }
}

/// Whether text stands for itself: it has no control characters and does not begin as a word of another kind.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control) && !text.starts_with('@') && !text.starts_with(HEX) && text != "-"
}

/// The `hex:..` word of these bytes.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(HEX.len() + 2 * bytes.len());
    text.push_str(HEX);
    for byte in bytes {
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is one digit");
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests;
