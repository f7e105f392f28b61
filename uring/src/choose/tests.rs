//! Refusals are explained once, in words that say what to change.

use super::*;

/// Opens on a machine that refuses a ring for `lack`.
fn refused(kind: IoKind, lack: Lack) -> Result<Choice, Error> {
    open_with::<u8>(kind, 64, &mut |_| Err(lack)).map(|(mut io, choice)| {
        // What was taken instead works.
        let doorbell = crate::Doorbell::new().unwrap();
        doorbell.bell().ring();
        io.submit(crate::Op::Watch { doorbell }, 1);
        let mut done = Vec::new();
        io.wait(None, &mut done);
        assert!(done[0].result.is_ok());
        choice
    })
}

#[test]
fn auto_falls_back_and_says_cause_effect_and_remedy() {
    let cases = [
        (Lack::Setup(Errno::PERM), ["does not permit", "kernel.io_uring_disabled", "seccomp"]),
        (Lack::Setup(Errno::ACCESS), ["does not permit", "kernel.io_uring_disabled", "seccomp"]),
        (Lack::Setup(Errno::NOSYS), ["has no io_uring", "Linux 5.11", "gVisor"]),
        (Lack::Setup(Errno::NOMEM), ["lockable memory", "ulimit -l", "LimitMEMLOCK="]),
        (Lack::Setup(Errno::MFILE), ["no file descriptor left", "ulimit -n", "LimitNOFILE="]),
        (Lack::Setup(Errno::IO), ["error 5", "io_uring_setup(2)", "--io posix"]),
        (Lack::Feature("sends (Linux 5.6)"), ["too old", "sends", "Linux 5.11"]),
    ];
    for (lack, words) in cases {
        let choice = refused(IoKind::Auto, lack).unwrap();
        assert_eq!(choice.kind, IoKind::Posix);
        let notice = choice.notice.unwrap();
        for word in words.into_iter().chain(["everything works", "device reads", "--io posix"]) {
            assert!(notice.contains(word), "'{notice}' lacks '{word}'");
        }
        let error = refused(IoKind::Uring, lack).unwrap_err();
        assert_eq!(error.code(), 110);
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
        assert!(!error.to_string().contains("everything works"), "{error}");
    }
}

#[test]
fn posix_by_name_has_nothing_to_explain_and_asks_for_no_ring() {
    let setup = &mut |_| panic!("nobody asked for a ring");
    let (_, choice) = open_with::<u8>(IoKind::Posix, 64, setup).unwrap();
    assert_eq!(choice, Choice { kind: IoKind::Posix, notice: None });
}

#[test]
fn places_are_brought_into_their_bounds() {
    for (asked, given) in [(0, 8), (1, 8), (8, 8), (9, 16), (4097, 8192), (u32::MAX, 32_768)] {
        let mut seen = 0;
        let _ = open_with::<u8>(IoKind::Uring, asked, &mut |places| {
            seen = places;
            Err(Lack::Setup(Errno::PERM))
        });
        assert_eq!(seen, given);
    }
}

#[test]
fn kinds_are_named_as_they_are_parsed() {
    for kind in [IoKind::Auto, IoKind::Uring, IoKind::Posix] {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!(IoKind::default(), IoKind::Auto);
    assert_eq!("epoll".parse::<IoKind>().unwrap_err(), "'epoll' is none of auto, uring, posix");
}
