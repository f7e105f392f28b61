//! Each kind of answer, and the bounds of repetition.

use super::*;

fn once(kind: Kind, asked: usize, result: i32) -> Verdict {
    judge(kind, asked, result, &mut Tries::default())
}

fn errno(errno: Errno) -> i32 {
    -errno.raw_os_error()
}

fn failed(errno: Errno) -> Verdict {
    Verdict::Failed(IoError::Os { errno: errno.raw_os_error() })
}

#[test]
fn whole_transfers_are_done_and_short_ones_go_out_again_whole() {
    for kind in [Kind::Read, Kind::Write] {
        assert_eq!(once(kind, 8192, 8192), Verdict::Done(8192));
        // One byte less is as short as one byte of all.
        for moved in [1, 4096, 8191] {
            let mut tries = Tries::default();
            for _ in 0..SHORT_RETRIES_MAX {
                assert_eq!(judge(kind, 8192, moved, &mut tries), Verdict::Again);
            }
            let moved = usize::try_from(moved).unwrap();
            let short = Verdict::Failed(IoError::Short { moved, asked: 8192 });
            assert_eq!(judge(kind, 8192, i32::try_from(moved).unwrap(), &mut tries), short);
        }
    }
}

#[test]
fn a_write_that_is_short_once_is_done_when_it_is_whole() {
    let mut tries = Tries::default();
    assert_eq!(judge(Kind::Write, 65_536, 32_768, &mut tries), Verdict::Again);
    assert_eq!(judge(Kind::Write, 65_536, 65_536, &mut tries), Verdict::Done(65_536));
}

#[test]
fn nothing_at_all_is_an_error_at_once() {
    assert_eq!(once(Kind::Read, 4096, 0), Verdict::Failed(IoError::EndOfFile { asked: 4096 }));
    assert_eq!(once(Kind::Write, 4096, 0), Verdict::Failed(IoError::Short { moved: 0, asked: 4096 }));
    assert_eq!(once(Kind::Receive, 4096, 0), Verdict::Done(0), "a peer that is done is no error");
}

#[test]
fn sockets_give_short_counts_as_they_are() {
    assert_eq!(once(Kind::Receive, 4096, 1), Verdict::Done(1));
    assert_eq!(once(Kind::Send, 4096, 4095), Verdict::Done(4095));
}

#[test]
fn what_the_kernel_asks_to_repeat_is_repeated_with_a_bound() {
    for kind in [Kind::Read, Kind::Write, Kind::Sync, Kind::Punch] {
        assert_eq!(once(kind, 1, errno(Errno::AGAIN)), Verdict::Again);
        assert_eq!(once(kind, 1, errno(Errno::INTR)), Verdict::Again);
    }
    for kind in [Kind::Receive, Kind::Send, Kind::Accept] {
        assert_eq!(once(kind, 1, errno(Errno::AGAIN)), Verdict::AwaitReady, "no turning round and round");
        assert_eq!(once(kind, 1, errno(Errno::INTR)), Verdict::Again);
    }
    assert_eq!(once(Kind::Ready, 1, 1), Verdict::Again);
    assert_eq!(once(Kind::Accept, 0, errno(Errno::CONNABORTED)), Verdict::Again);
    assert_eq!(once(Kind::Receive, 0, errno(Errno::CONNABORTED)), failed(Errno::CONNABORTED));
    let mut tries = Tries::default();
    for _ in 0..AGAIN_RETRIES_MAX {
        assert_eq!(judge(Kind::Read, 1, errno(Errno::AGAIN), &mut tries), Verdict::Again);
    }
    assert_eq!(judge(Kind::Read, 1, errno(Errno::AGAIN), &mut tries), failed(Errno::AGAIN));
}

#[test]
fn errors_are_final() {
    for error in [Errno::IO, Errno::NOSPC, Errno::FBIG, Errno::INVAL, Errno::BADF] {
        assert_eq!(once(Kind::Write, 1, errno(error)), failed(error));
        assert_eq!(once(Kind::Sync, 0, errno(error)), failed(error), "a failed flush is never tried again");
    }
    // Whether that is an error is for whoever asked to say.
    assert_eq!(once(Kind::Punch, 0, errno(Errno::OPNOTSUPP)), failed(Errno::OPNOTSUPP));
    assert_eq!(once(Kind::Punch, 0, 0), Verdict::Done(0));
    assert_eq!(once(Kind::Write, 1, errno(Errno::CANCELED)), Verdict::Failed(IoError::Cancelled));
    assert_eq!(once(Kind::Cancel, 0, errno(Errno::ALREADY)), failed(Errno::ALREADY));
    assert_eq!(once(Kind::Cancel, 0, errno(Errno::NOENT)), failed(Errno::NOENT));
}

#[test]
#[should_panic(expected = "moved 4097 bytes of 4096")]
fn more_than_was_asked_is_a_broken_kernel() {
    let _ = once(Kind::Read, 4096, 4097);
}
