//! What a fuzzer calls: what a peer's bytes reach before it is known what they ask. `resp::fuzz` and the crate `wire` have those of
//! the other protocols.
//!
//! Contract: returns for every input.

use crate::http::{Next, parse};
use crate::resp::glob::matches;

/// Reads `input` as the head of a request of HTTP; returns 1 when it is one.
///
/// # Panics
/// When a head is found that does not end where it ends: a bug here.
pub fn http(input: &[u8]) -> usize {
    let Next::Request { bytes, path, .. } = parse(input) else { return 0 };
    assert!((1..=input.len()).contains(&bytes), "a head of {bytes} bytes in {}", input.len());
    assert!(!path.contains('?'), "what is asked of a path is no part of it: {path}");
    // A head is whole with its last byte and not before, whatever comes behind it.
    assert!(matches!(parse(&input[..bytes]), Next::Request { bytes: again, .. } if again == bytes));
    for end in [bytes - 1, bytes / 2, bytes / 3] {
        assert!(matches!(parse(&input[..end]), Next::Part), "a head was found in {end} of its {bytes} bytes");
    }
    1
}

/// Matches the second half of `input` with the first as a pattern of `SCAN`; returns whether it does.
///
/// # Panics
/// When a text is not matched by itself, taken as it stands: a bug here.
pub fn pattern(input: &[u8]) -> usize {
    let (pattern, text) = input.split_at(input.len() / 2);
    let literally: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
    assert!(matches(&literally, text), "{} is itself", text.escape_ascii());
    assert!(matches(&[b"*", literally.as_slice(), b"*"].concat(), &[pattern, text, pattern].concat()));
    assert!(text.is_empty() || !matches(&literally, &text[1..]), "each byte of a text stands for one");
    // A star in front takes nothing away.
    let matched = matches(pattern, text);
    assert!(!matched || matches(&[b"*", pattern].concat(), text));
    usize::from(matched)
}
