//! Numbers: what is one, and what only looks like one.

use super::*;

#[test]
fn an_integer_has_one_spelling() {
    for number in [0, 1, -1, 10, i64::MAX, i64::MIN, 1_000_000_007] {
        let mut text = Vec::new();
        push(&mut text, number);
        assert_eq!(text, number.to_string().as_bytes());
        assert_eq!(integer(&text), Some(number));
    }
    for text in ["", "-", "+1", " 1", "1 ", "01", "-0", "00", "1.0", "0x1", "9223372036854775808", "1e3", "١"] {
        assert_eq!(integer(text.as_bytes()), None, "'{text}'");
    }
}

#[test]
fn a_float_is_finite() {
    assert_eq!(float(b"1.5e3"), Some(1500.0));
    assert_eq!(float(b"-3"), Some(-3.0));
    for text in ["", " 1", "nan", "inf", "1e999", "x"] {
        assert_eq!(float(text.as_bytes()), None, "'{text}'");
    }
    assert_eq!((float_text(3.0), float_text(0.1)), ("3".to_owned(), "0.1".to_owned()));
    assert_eq!(float_text(1e20), "100000000000000000000");
}
