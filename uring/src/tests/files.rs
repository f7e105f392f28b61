//! Files on both backends: whole transfers, ends of files, limits, and buffers that always come home.

use super::{TestPage, data_file, on_both, pages, run, run_well, take};
use crate::{Access, Caching, Error, File, IoError, Mode, Op, Outcome, Zeroing};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[test]
fn what_was_written_is_read() {
    on_both(|io, dir| {
        let file = data_file(dir);
        let (_, buffer) = run_well(io, Op::Write { file: file.clone(), offset: 4096, buffer: pages(7, 3) });
        assert_eq!(buffer.expect("it came home")[2].0[4095], 7);
        assert!(matches!(run_well(io, Op::Sync { file: file.clone() }), (Outcome::Done, None)));
        assert_eq!(file.bytes().unwrap(), 4 * 4096);
        let (_, buffer) = run_well(io, Op::Read { file, offset: 0, buffer: pages(9, 4) });
        let buffer = buffer.unwrap();
        assert_eq!(buffer.iter().map(|page| page.0[17]).collect::<Vec<_>>(), [0, 7, 7, 7]);
    });
}

#[test]
fn many_in_flight_come_home_each_with_its_own_buffer() {
    on_both(|io, dir| {
        let file = data_file(dir);
        for index in 0..200u8 {
            let buffer = pages(index, 1 + usize::from(index % 3));
            io.submit(Op::Write { file: file.clone(), offset: u64::from(index) * 3 * 4096, buffer }, u64::from(index));
        }
        assert_eq!(io.in_flight(), 200);
        for completion in take(io, 200) {
            assert!(completion.result.is_ok());
            assert_eq!(u64::from(completion.buffer.unwrap()[0].0[0]), completion.user);
        }
        for index in 0..200u8 {
            let buffer = pages(255, 1);
            io.submit(Op::Read { file: file.clone(), offset: u64::from(index) * 3 * 4096, buffer }, u64::from(index));
        }
        for completion in take(io, 200) {
            assert_eq!(u64::from(completion.buffer.unwrap()[0].0[4095]), completion.user);
        }
    });
}

#[test]
fn reads_past_the_end_are_errors_never_zeros() {
    on_both(|io, dir| {
        let file = data_file(dir);
        file.set_bytes(3 * 4096).unwrap();
        // 12,288 bytes are there of 65,536.
        let short = run(io, Op::Read { file: file.clone(), offset: 0, buffer: pages(1, 16) });
        assert_eq!(short.result.unwrap_err(), IoError::Short { moved: 12_288, asked: 65_536 });
        assert_eq!(short.buffer.unwrap().len(), 16);
        let none = run(io, Op::Read { file, offset: 3 * 4096, buffer: pages(1, 1) });
        assert_eq!(none.result.unwrap_err(), IoError::EndOfFile { asked: 4096 });
        assert!(none.buffer.is_some());
    });
}

#[test]
fn a_failed_operation_brings_its_buffer_home() {
    on_both(|io, dir| {
        drop(data_file(dir));
        let file = File::open(&dir.join("data"), Access::Read, Caching::Buffered).unwrap();
        let refused = run(io, Op::Write { file: file.clone(), offset: 0, buffer: pages(5, 2) });
        assert_eq!(refused.result.unwrap_err().errno(), Errno::BADF.raw_os_error());
        assert_eq!(refused.buffer.unwrap()[1].0[0], 5);
        let refused = run(io, Op::Punch { file, offset: 0, bytes: 4096 });
        assert_eq!(refused.result.unwrap_err().errno(), Errno::BADF.raw_os_error());
    });
}

#[test]
#[should_panic(expected = "overlaps the write")]
fn overlapping_writes_in_flight_are_our_mistake_on_the_ring() {
    overlap(crate::IoKind::Auto, |file| Op::Write { file, offset: 4096, buffer: pages(2, 1) });
}

#[test]
#[should_panic(expected = "overlaps the write")]
fn overlapping_writes_in_flight_are_our_mistake_on_posix() {
    overlap(crate::IoKind::Posix, |file| Op::Write { file, offset: 4096, buffer: pages(2, 1) });
}

#[test]
#[should_panic(expected = "overlaps the write")]
fn punching_what_is_being_written_is_our_mistake_on_the_ring() {
    overlap(crate::IoKind::Auto, |file| Op::Punch { file, offset: 8191, bytes: 1 });
}

#[test]
#[should_panic(expected = "overlaps the write")]
fn punching_what_is_being_written_is_our_mistake_on_posix() {
    overlap(crate::IoKind::Posix, |file| Op::Punch { file, offset: 8191, bytes: 1 });
}

/// Asks for something while the bytes 0 to 8191 are being written.
fn overlap(kind: crate::IoKind, then: impl Fn(File) -> Op<TestPage>) {
    let dir = tempfile::tempdir().unwrap();
    let file = data_file(dir.path());
    let (mut io, _) = crate::open(kind, 8).unwrap();
    io.submit(Op::Write { file: file.clone(), offset: 0, buffer: pages(1, 2) }, 1);
    io.submit(then(file), 2);
}

/// Blocks of 512 bytes that a file has on the medium, once nothing of it waits to be written.
fn blocks(file: &File, path: &Path) -> u64 {
    file.sync().unwrap();
    std::fs::metadata(path).unwrap().blocks()
}

#[test]
fn what_is_punched_reads_as_zeros_and_its_room_goes_back() {
    on_both(|io, dir| {
        let (file, path) = (data_file(dir), dir.join("data"));
        run_well(io, Op::Write { file: file.clone(), offset: 0, buffer: pages(3, 600) });
        let before = blocks(&file, &path);
        let punched = run(io, Op::Punch { file: file.clone(), offset: 4096, bytes: 512 * 4096 });
        assert!(punched.buffer.is_none());
        let given_back = match punched.result {
            Ok(outcome) => {
                assert!(matches!(outcome, Outcome::Done));
                true
            }
            // A file system without holes says so, and has changed nothing.
            Err(error) => {
                assert_eq!(error.errno(), Errno::OPNOTSUPP.raw_os_error());
                false
            }
        };
        let after = blocks(&file, &path);
        // The file system's own records may have grown by a little: an eighth of the 4,096 blocks is left for them.
        assert_eq!(after + 3_584 <= before, given_back, "{before} blocks before, {after} after");
        assert_eq!(file.bytes().unwrap(), 600 * 4096, "the length is kept");
        let (_, buffer) = run_well(io, Op::Read { file: file.clone(), offset: 0, buffer: pages(9, 600) });
        let inside = if given_back { 0 } else { 3 };
        for (index, page) in buffer.unwrap().iter().enumerate() {
            let wanted = if (1..513).contains(&index) { inside } else { 3 };
            assert!(page.0.iter().all(|byte| *byte == wanted), "page {index}");
        }
        // The range can be written again while nothing else of it is in flight, and punched once more.
        run_well(io, Op::Write { file: file.clone(), offset: 4096, buffer: pages(5, 1) });
        assert_eq!(run(io, Op::Punch { file, offset: 4096, bytes: 4096 }).result.is_ok(), given_back);
    });
}

#[test]
fn zeroing_overwrites_piece_by_piece_with_one_buffer() {
    on_both(|io, dir| {
        let file = data_file(dir);
        run_well(io, Op::Write { file: file.clone(), offset: 0, buffer: pages(3, 600) });
        // 1 MiB is 256 pages: two whole pieces and one of 86.
        let mut zeroing = Zeroing::new(file.clone(), 4096, 598 * 4096);
        let (mut zeros, mut pieces) = (None, Vec::new());
        while let Some(op) = zeroing.next(&mut zeros) {
            let (_, buffer) = run_well(io, op);
            pieces.push(buffer.as_ref().unwrap().len());
            zeros = buffer;
        }
        assert_eq!(pieces, [256, 256, 86]);
        let (_, buffer) = run_well(io, Op::Read { file, offset: 0, buffer: pages(9, 600) });
        let sums: Vec<u8> = buffer.unwrap().iter().map(|page| page.0[0].max(page.0[4095])).collect();
        assert_eq!((sums[0], sums[599]), (3, 3));
        assert!(sums[1..599].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn dropping_with_work_in_flight_ends_and_what_was_done_is_whole() {
    for kind in [crate::IoKind::Auto, crate::IoKind::Posix] {
        let dir = tempfile::tempdir().unwrap();
        let file = data_file(dir.path());
        let doorbell = crate::Doorbell::new().unwrap();
        let (one, _two) = crate::Socket::pair().unwrap();
        let (mut io, _) = crate::open(kind, 16).unwrap();
        for index in 0..64u8 {
            io.submit(Op::Write { file: file.clone(), offset: u64::from(index) * 65_536, buffer: pages(index, 16) }, 0);
        }
        io.submit(Op::Watch { doorbell }, 1);
        io.submit(Op::Receive { socket: one, buffer: pages(0, 1), range: 0..4096 }, 2);
        io.poll(&mut Vec::new());
        drop(io);
        let bytes = std::fs::read(dir.path().join("data")).unwrap();
        for piece in bytes.chunks(65_536) {
            assert!(piece.iter().all(|byte| *byte == piece[0]), "a write is not torn by the drop");
        }
    }
}

#[test]
fn modes_and_names() {
    let dir = super::directory();
    let path = dir.path().join("data");
    let buffered = File::create(&path, Caching::Buffered).unwrap();
    assert_eq!((buffered.mode(), buffered.path()), (Mode::Buffered, path.as_path()));
    let taken = File::create(&path, Caching::Around).unwrap_err();
    assert!(matches!(taken, Error::Os { errno: 17, .. }), "{taken}");
    let missing = File::open(&dir.path().join("none"), Access::Read, Caching::Around).unwrap_err();
    assert!(missing.to_string().contains("none: No such file"), "{missing}");
    std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
    let link = File::open(&dir.path().join("link"), Access::ReadWrite, Caching::Around).unwrap_err();
    assert!(matches!(link, Error::Symlink { .. }), "{link}");
    let directory = File::open(dir.path(), Access::Read, Caching::Around).unwrap_err();
    assert!(matches!(directory, Error::Os { errno: 22, .. }), "{directory}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // What the kernel says of this file system decides, whatever it is.
    let around = File::open(&path, Access::ReadWrite, Caching::Around).unwrap();
    let flags = rustix::fs::fcntl_getfl(&around).unwrap();
    assert_eq!(flags.contains(rustix::fs::OFlags::DIRECT), around.mode() == Mode::Direct);
}
