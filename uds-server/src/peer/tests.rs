//! The first bytes of every protocol, and of none.

use super::*;

#[test]
fn the_first_bytes_tell_the_protocol() {
    use Protocol::{Http, Native, Resp};
    let cases: [(&[u8], Option<Protocol>); 14] = [
        (b"", None),
        (b"\xa1", Some(Native)),
        (b"\x00", Some(Native)),
        (b"\xff*1", Some(Native)),
        (b"*", Some(Resp)),
        (b"*1\r\n", Some(Resp)),
        (b"\r\n", Some(Resp)),
        (b"PING", None),
        (b"PING\r\n", Some(Resp)),
        (b"GET key\r\n", Some(Resp)),
        (b"GET HTTP/1.1\r\n", Some(Http)),
        (b"GET / HTTP/1.1\r\n", Some(Http)),
        (b"POST /x HTTP/1.0\n", Some(Http)),
        (b"HTTP/1.1\r\n", Some(Resp)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(recognise(bytes), expected, "{}", bytes.escape_ascii());
    }
    assert_eq!(recognise(&[b'a'; LINE_BYTES_MAX + 1]), Some(Resp));
}
