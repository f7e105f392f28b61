//! Golden vectors: the bytes of each structure as the first version wrote them, which every later version must still write and
//! read.
//!
//! A vector is text: its length, then each line of 32 bytes that is not all zeros, behind its offset. A vector is never changed;
//! a new version of the format adds new ones.

use core::fmt::Write as _;

const LINE: usize = 32;

/// Asserts that `bytes` are those of the vector.
pub(crate) fn check(name: &str, vector: &str, bytes: &[u8]) {
    let dump = dump(bytes);
    assert!(dump == vector, "{name} is not what its golden vector says; it is now\n{dump}");
    assert!(parse(vector) == bytes, "{name}: the vector reads back as the bytes");
}

/// The vector of some bytes.
fn dump(bytes: &[u8]) -> String {
    let mut text = format!("length {}\n", bytes.len());
    for (index, line) in bytes.chunks(LINE).enumerate() {
        if line.iter().all(|&byte| byte == 0) {
            continue;
        }
        write!(text, "{:06x}", index * LINE).expect("strings take all text");
        for quad in line.chunks(4) {
            text.push(' ');
            for byte in quad {
                write!(text, "{byte:02x}").expect("strings take all text");
            }
        }
        text.push('\n');
    }
    text
}

/// The bytes of a vector.
pub(crate) fn parse(vector: &str) -> Vec<u8> {
    let mut lines = vector.lines();
    let length = lines.next().and_then(|line| line.strip_prefix("length ")).expect("a vector begins with its length");
    let mut bytes = vec![0; length.parse().expect("the length is a number")];
    for line in lines {
        let (offset, digits) = line.split_once(' ').expect("a line has an offset and bytes");
        let offset = usize::from_str_radix(offset, 16).expect("the offset is hexadecimal");
        let digits: String = digits.split(' ').collect();
        for (index, byte) in bytes[offset..offset + digits.len() / 2].iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[index * 2..index * 2 + 2], 16).expect("bytes are hexadecimal");
        }
    }
    bytes
}
