//! Patterns as Redis reads them, and one that a toy takes for ever on.

use super::*;

#[test]
fn patterns_match_what_redis_matches() {
    let cases = [
        ("*", "", true),
        ("*", "a/b", true),
        ("a*c", "abbc", true),
        ("a*c", "abcb", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("[abc]x", "bx", true),
        ("[^abc]x", "bx", false),
        ("[^abc]x", "dx", true),
        ("[a-c]x", "cx", true),
        ("[c-a]x", "bx", true),
        ("[a-c]x", "dx", false),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("a\\", "a\\", true),
        ("[\\]]", "]", true),
        ("[a", "a", true),
        ("", "", true),
        ("", "a", false),
        ("user:*:name", "user:17:name", true),
        ("**", "x", true),
        ("*[0-9]*", "abc1def", true),
        ("*[0-9]*", "abcdef", false),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "'{pattern}' on '{text}'");
    }
}

#[test]
fn many_stars_take_no_longer_than_the_product_of_the_lengths() {
    let pattern = "*a".repeat(500) + "b";
    assert!(!matches(pattern.as_bytes(), &[b'a'; 2000]));
}
