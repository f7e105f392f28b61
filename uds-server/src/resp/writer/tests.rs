//! The bytes of every kind of reply, in both dialects.

use super::*;

/// One of each.
fn all(dialect: Dialect) -> String {
    let mut out = Writer::new(dialect);
    out.simple("OK");
    out.error("ERR two\r\nlines");
    for number in [0, 7, -1, i64::MAX, i64::MIN] {
        out.integer(number);
    }
    out.bulk(b"");
    out.bulk(b"a\r\nb");
    out.bulk_or_null(None);
    out.null_array();
    out.array(2);
    out.map(1);
    out.set(1);
    out.push(1);
    out.truth(true);
    out.truth(false);
    out.double(1.5);
    out.verbatim("text");
    String::from_utf8(out.bytes().to_vec()).unwrap().replace("\r\n", "|")
}

#[test]
fn replies_are_these_bytes() {
    let common = "+OK|-ERR two  lines|:0|:7|:-1|:9223372036854775807|:-9223372036854775808|$0||$4|a|b|";
    assert_eq!(all(Dialect::Resp2), format!("{common}$-1|*-1|*2|*2|*1|*1|:1|:0|$3|1.5|$4|text|"));
    assert_eq!(all(Dialect::Resp3), format!("{common}_|_|*2|%1|~1|>1|#t|#f|,1.5|=8|txt:text|"));
}

#[test]
fn what_was_sent_is_dropped() {
    let mut out = Writer::default();
    out.bulk(&[b'x'; 100_000]);
    let bytes = out.len();
    out.consume(90_000);
    assert_eq!(out.len(), bytes - 90_000);
    let mut other = Writer::default();
    other.simple("OK");
    out.append(&other);
    assert!(out.bytes().ends_with(b"x\r\n+OK\r\n"));
    assert!(out.buffer.len() < 20_000, "what was sent is not kept: {}", out.buffer.len());
    out.consume(out.len());
    assert!(out.is_empty() && out.buffer.capacity() <= BUFFER_BYTES_KEPT);
}
