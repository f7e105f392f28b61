use super::*;
use segments::blocking::{Asked, Blocking, Failed};

#[test]
fn writes_are_read_back_and_the_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bytes");
    let content: Vec<u8> = (0..3 * PAGE_BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
    std::fs::write(&path, &content).unwrap();
    let mut overlay = Overlay::open(&path).unwrap();
    let mut device = Blocking::new(&mut overlay);
    assert_eq!(device.read(PageNo(0), 3).unwrap().bytes(), content);
    let mut page = Frames::zeroed(1);
    page.bytes_mut().fill(7);
    device.write_each(vec![(PageNo(1), page)]).unwrap();
    let refused = Failed { asked: Asked::Punch, page: PageNo(1), error: DeviceError::Io { errno: READ_ONLY } };
    assert_eq!(device.punch(PageNo(1), 2), Err(refused));
    device.grow(5).unwrap();
    let read = device.read(PageNo(0), 5).unwrap();
    assert_eq!(read.page(0)[..], content[..PAGE_BYTES]);
    assert!(read.page(1).iter().all(|byte| *byte == 7));
    assert_eq!(read.page(2)[..], content[2 * PAGE_BYTES..], "what was not punched is there");
    assert!(read.page(4).iter().all(|byte| *byte == 0));
    assert!(device.read(PageNo(4), 2).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), content);
}

#[test]
fn a_directory_without_a_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Overlay::open(dir.path()).err().unwrap().code, Some(131));
    assert_eq!(Overlay::open(&dir.path().join("no")).err().unwrap().code, Some(131));
}
