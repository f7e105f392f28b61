use super::*;
use std::io::Write;

#[test]
fn what_is_shown_is_read_back() {
    let samples: [&[u8]; 9] =
        [b"", b"alice", b"hex:00", b"@file", b"-", b"\0", b"\xff\xfe", "gr\u{fc}n".as_bytes(), b"a\nb"];
    for bytes in samples {
        assert_eq!(read(&show(bytes)).unwrap(), bytes, "{}", show(bytes));
    }
    for byte in 0..=255_u8 {
        assert_eq!(read(&to_hex(&[byte])).unwrap(), [byte]);
    }
}

#[test]
fn bad_digits_are_usage_errors() {
    for word in ["hex:0", "hex:zz", "hex:+1", "hex:\u{e9}\u{e9}", "hex:0 "] {
        let failure = read(word).unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::Usage, "{word}");
    }
}

#[test]
fn a_file_is_its_bytes() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\0\x01").unwrap();
    let word = format!("@{}", file.path().display());
    assert_eq!(read(&word).unwrap(), b"\0\x01");
    assert_eq!(read("@/no/such/file").unwrap_err().code, Some(crate::failure::FILE));
}
