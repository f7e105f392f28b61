//! Where threads may wait: a shard in its ring, a caller only in a call that says it waits.
//!
//! The kernel tells in `/proc` in which call a thread sleeps; a thread that is running, or between two calls, sleeps in none. And a
//! filter of the kernel's ends the process of a caller that makes any call that could sleep.

use crate::process::{Daemon, text};
use lostore::{Backend, PutOptions, RawTable, Store};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};

/// Looks at the shard's thread while it has much to do.
const LOOKS: u32 = 4_000;
/// The most looks at it afterwards.
const LOOKS_IDLE: u32 = 2_000_000;
/// The directory of the store, in the process that calls under the filter.
const DIRECTORY: &str = "LOSTORE_TEST_WAITS";
/// What that process does.
const DEED: &str = "LOSTORE_TEST_WAITS_DEED";
const SIGSYS: i32 = 31;
/// The bits of a futex operation that must not be set: all but the lowest, and but that it is private to the process. What is left is to wake, and to
/// wait as the lock of the allocator does, which two threads share when one frees what the other has made. Threads that park, and
/// every lock of Rust's own, wait with another operation.
const FUTEX_OPERATION: u64 = 0x7e;
/// The number of `io_uring_enter` on every architecture.
const IO_URING_ENTER: i64 = 426;

/// The numbers of calls that may be made anywhere, because they never wait: memory, clocks, and the end of a thread.
fn harmless() -> Vec<i64> {
    // x86_64: mmap mprotect munmap brk rt_sigprocmask mremap madvise getpid gettid clock_gettime sigaltstack exit exit_group
    let x86 = [9, 10, 11, 12, 14, 25, 28, 39, 186, 228, 131, 60, 231];
    // aarch64: the same.
    let arm = [222, 226, 215, 214, 135, 216, 233, 172, 178, 113, 132, 93, 94];
    if cfg!(target_arch = "aarch64") { arm.to_vec() } else { x86.to_vec() }
}

/// The numbers of `futex` and `write`.
fn futex_and_write() -> (i64, i64) {
    if cfg!(target_arch = "aarch64") { (98, 64) } else { (202, 1) }
}

fn only_when(argument: u8, operator: SeccompCmpOp, value: u64) -> Vec<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).unwrap();
    vec![SeccompRule::new(vec![condition]).unwrap()]
}

/// From here on the calling thread's first call that could wait ends the process.
fn wait_no_more() {
    let (futex, write) = futex_and_write();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = harmless().into_iter().map(|number| (number, vec![])).collect();
    rules.insert(futex, only_when(1, SeccompCmpOp::MaskedEq(FUTEX_OPERATION), 0));
    // A doorbell is rung by eight bytes.
    rules.insert(write, only_when(2, SeccompCmpOp::Eq, 8));
    // To enter the ring for no completion in particular.
    rules.insert(IO_URING_ENTER, only_when(2, SeccompCmpOp::Eq, 0));
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

fn key(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

/// A table with 400 pairs, the half of them far from memory.
fn filled<B: Backend>(store: &Store<B>) -> RawTable<B> {
    let spec = lostore::plain_spec(lostore::schema::TableKind::Ordered, lostore::schema::TableHome::Persistent);
    let table = store.create_raw("t", spec).unwrap();
    for number in 0..400 {
        if number == 200 {
            store.force().unwrap();
            store.drop_cache().unwrap();
        }
        table.upsert(&key(number), &[7; 3_000], PutOptions::default()).unwrap();
    }
    table
}

/// Every kind of operation, started and looked at, never waited for; answers how many have been answered all the same.
fn call_everything<B: Backend>(store: &Store<B>, table: &RawTable<B>) -> usize {
    let mut answered = 0;
    for number in 0..400 {
        let mut get = table.start_get(&key(number));
        let mut many = table.start_get_many(&[key(number), key(399 - number)]);
        let mut ranges = table.start_read_ranges(&key(number), &[0..10, 2_000..9_000]);
        let mut txn = store.txn();
        txn.raw(table).upsert(&key(number), &[8; 2_000], PutOptions::default()).unwrap();
        txn.raw(table).insert(&key(10_000 + number), b"new", PutOptions::default()).unwrap();
        let mut commit = txn.commit_async();
        let mut force = (number % 50 == 0).then(|| store.start_force());
        let dropped = store.txn();
        dropped.abort().unwrap();
        for _ in 0..3 {
            answered += usize::from(get.poll().is_some_and(|answer| answer.is_ok()));
            answered += usize::from(many.poll().is_some_and(|answer| answer.is_ok()));
            answered += usize::from(ranges.poll().is_some_and(|answer| answer.is_ok()));
            answered += usize::from(commit.poll().is_some_and(|answer| answer.is_ok()));
            answered += usize::from(force.as_mut().is_some_and(|force| force.poll().is_some()));
        }
    }
    answered
}

/// Not a test of its own: what the test below watches.
#[test]
fn call_under_a_filter() {
    let Ok(dir) = std::env::var(DIRECTORY) else { return };
    let dir = Path::new(&dir);
    match std::env::var(DEED).unwrap().as_str() {
        "shared" => {
            let store = lostore::open(dir).unwrap();
            let table = filled(&store);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    wait_no_more();
                    call_everything(&store, &table);
                });
            });
            store.force().unwrap();
            assert!(table.get(&key(10_001)).unwrap().is_some(), "what was started was carried out");
        }
        "inline" => {
            let store = lostore::open_inline(dir).unwrap();
            let table = filled(&store);
            wait_no_more();
            let answered = call_everything(&store, &table);
            std::process::exit(if answered > 0 { 0 } else { 1 });
        }
        "waiting for a thread" => wait_for(&lostore::open(dir).unwrap()),
        "waiting for the device" => wait_for(&lostore::open_inline(dir).unwrap()),
        other => panic!("{other}"),
    }
}

/// What the filter must find.
fn wait_for<B: Backend>(store: &Store<B>) {
    let table = filled(store);
    wait_no_more();
    table.upsert(&key(1), b"on the device, please", PutOptions::default()).unwrap();
    store.force().unwrap();
    std::process::exit(0);
}

fn under_a_filter(deed: &str) -> ExitStatus {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "waits::call_under_a_filter"]).env(DIRECTORY, dir.path()).env(DEED, deed);
    let output = command.output().unwrap();
    println!("{deed}: {}", output.status);
    output.status
}

#[test]
fn no_call_waits_between_its_start_and_its_return() {
    for deed in ["waiting for a thread", "waiting for the device"] {
        assert_eq!(under_a_filter(deed).signal(), Some(SIGSYS), "{deed}: a force waits, and that is seen");
    }
    for deed in ["shared", "inline"] {
        let status = under_a_filter(deed);
        assert!(status.success(), "{deed}: {status}; signal {SIGSYS} is a call that could wait");
    }
}

/// The number of the call in which a thread sleeps; `None` when it runs or waits for a page of memory.
fn sleeps_in(thread: &Path) -> std::io::Result<Option<i64>> {
    let text = std::fs::read_to_string(thread.join("syscall"))?;
    Ok(text.split(' ').next().and_then(|number| number.parse().ok()).filter(|number| *number >= 0))
}

fn threads_named(process: u32, name: &str) -> Vec<std::path::PathBuf> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let paths = threads.map(|thread| thread.unwrap().path());
    paths.filter(|path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)).collect()
}

/// Reads from memory and from the device, commits of both levels, forces and listings, until told to stop.
fn load(daemon: &Daemon, number: u32, stop: &AtomicBool) {
    let store = daemon.connect();
    let table = store.open_raw("t").unwrap();
    let mut round = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        table.upsert(&key(number * 1_000 + round % 500), &[1; 900], PutOptions::default()).unwrap();
        table.get(&key(number * 1_000 + round.wrapping_mul(7919) % 500)).unwrap();
        match round % 64 {
            0 => drop(store.force().unwrap()),
            1 => store.drop_cache().unwrap(),
            2 => assert!(table.iter().take(50).all(|pair| pair.is_ok())),
            _ => {}
        }
    }
}

#[test]
fn a_shard_waits_in_its_ring_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    if daemon.ready["io"] != "uring" {
        println!("SKIPPED waits-in-the-ring: no io_uring in {}", text(dir.path()));
        return;
    }
    let spec = lostore::plain_spec(lostore::schema::TableKind::Ordered, lostore::schema::TableHome::Persistent);
    daemon.connect().create_raw("t", spec).unwrap();
    let stop = AtomicBool::new(false);
    let mut asleep: BTreeMap<i64, u32> = BTreeMap::new();
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (daemon, stop) = (&daemon, &stop);
            scope.spawn(move || load(daemon, number, stop));
        }
        let threads = threads_named(daemon.id(), "lostore-shard");
        assert_eq!(threads.len(), 1, "one shard, one thread");
        for _ in 0..LOOKS {
            if let Some(call) = sleeps_in(&threads[0]).unwrap() {
                *asleep.entry(call).or_default() += 1;
            }
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        println!("asleep in {asleep:?} of {LOOKS} looks under load");
        // A machine with much to do may have let it run at every look. With nobody asking it has nothing to do but wait.
        let mut looks = 0;
        while asleep.get(&IO_URING_ENTER).is_none_or(|seen| *seen < 10) && looks < LOOKS_IDLE {
            looks += 1;
            if let Some(call) = sleeps_in(&threads[0]).unwrap() {
                *asleep.entry(call).or_default() += 1;
            }
            std::thread::yield_now();
        }
    });
    assert!(asleep.remove(&IO_URING_ENTER).is_some(), "it waits in the ring");
    assert!(asleep.is_empty(), "and nowhere else: {asleep:?}");
    daemon.stop();
}
