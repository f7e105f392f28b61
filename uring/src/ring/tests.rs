//! The bookkeeping over a kernel of our own, which answers late, twice, wrongly and in any order, as a seed has it.

use super::*;
use crate::tests::{TestPage, pages};
use crate::{Caching, Doorbell};
use rustix::fd::IntoRawFd;
use std::collections::{BTreeMap, BTreeSet};

/// What the kernel of the test does wrong.
#[derive(Clone, Copy, Default)]
struct Mood {
    /// Answers of EAGAIN, EINTR, short counts and EIO, in a hundred.
    faults: u64,
    /// Answers that belong to nothing, in a hundred.
    strays: u64,
    /// Entries that are refused as busy or interrupted, in a hundred.
    refusals: u64,
}

struct Fake {
    mood: Mood,
    random: u64,
    queue_max: usize,
    queue: Vec<(u64, Order)>,
    held: Vec<(u64, Order)>,
    answers: Vec<(u64, i32)>,
    /// Tags that were answered: late doubles are made of them.
    answered: Vec<u64>,
    tags: BTreeSet<u64>,
    held_max: usize,
    strays: u64,
    lost: u32,
    syncs: u64,
}

impl Fake {
    fn new(seed: u64, mood: Mood, queue_max: usize) -> Self {
        Self {
            mood,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            queue_max,
            queue: Vec::new(),
            held: Vec::new(),
            answers: Vec::new(),
            answered: Vec::new(),
            tags: BTreeSet::new(),
            held_max: 0,
            strays: 0,
            lost: 0,
            syncs: 0,
        }
    }

    /// A number below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.draw(100) < percent
    }

    fn pick<T>(&mut self, from: &mut Vec<T>) -> T {
        let index = self.draw(from.len() as u64);
        from.swap_remove(usize::try_from(index).unwrap())
    }

    /// Answers one order that it holds, whichever.
    fn answer_one(&mut self) {
        let mut held = core::mem::take(&mut self.held);
        let (tag, order) = self.pick(&mut held);
        self.held = held;
        let result = self.result(order);
        self.give(tag, result);
    }

    fn give(&mut self, tag: u64, result: i32) {
        self.answers.push((tag, result));
        self.answered.push(tag);
        if self.chance(self.mood.strays) {
            // Late doubles of what was answered before this one, and tags that nobody ever gave out.
            let double = self.draw(2) == 0;
            let before = self.draw(self.answered.len() as u64);
            let tag = if double { self.answered[usize::try_from(before).unwrap()] } else { 0xdead_0000 + before };
            if tag != OWN_CANCEL.to_user_data() {
                self.answers.push((tag, 4096));
                self.strays += 1;
            }
        }
    }

    fn result(&mut self, order: Order) -> i32 {
        let whole = match order {
            Order::Read { target, .. } | Order::Write { target, .. } => target.bytes(),
            Order::Receive { target, .. } | Order::Send { target, .. } => target.bytes(),
            Order::Sync { .. } => {
                self.syncs += 1;
                0
            }
            Order::Punch { bytes, .. } => {
                assert_eq!(bytes, 4096, "it is asked as it was given");
                0
            }
            Order::Accept { .. } => {
                let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
                return fd.into_raw_fd();
            }
            Order::Ready { .. } => return 1,
            Order::Cancel { tag } => return self.cancel(tag),
        };
        let whole = i32::try_from(whole).unwrap();
        if !self.chance(self.mood.faults) {
            return whole;
        }
        match self.draw(4) {
            0 => -Errno::AGAIN.raw_os_error(),
            1 => -Errno::INTR.raw_os_error(),
            2 if whole > 1 => 1 + i32::try_from(self.draw(u64::try_from(whole - 1).unwrap())).unwrap(),
            _ => -Errno::IO.raw_os_error(),
        }
    }

    fn cancel(&mut self, tag: u64) -> i32 {
        match self.held.iter().position(|(held, _)| *held == tag) {
            Some(index) => {
                self.held.swap_remove(index);
                self.give(tag, -Errno::CANCELED.raw_os_error());
                0
            }
            None => -Errno::NOENT.raw_os_error(),
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // A kernel that goes away with orders in hand would go on writing to buffers that are nobody's any more.
        let own = OWN_CANCEL.to_user_data();
        let left = self.queue.iter().chain(&self.held).filter(|(tag, _)| *tag != own).count();
        assert!(std::thread::panicking() || left == 0, "{left} orders are still with the kernel");
    }
}

impl Kernel for Fake {
    unsafe fn push(&mut self, tag: u64, order: Order) -> bool {
        if self.queue.len() == self.queue_max {
            return false;
        }
        assert!(tag == OWN_CANCEL.to_user_data() || self.tags.insert(tag), "tag {tag:#x} was used before");
        self.queue.push((tag, order));
        true
    }

    fn enter(&mut self, want: usize, _timeout: Option<Duration>) -> Result<(), Errno> {
        if self.chance(self.mood.refusals) {
            return Err(if self.draw(2) == 0 { Errno::BUSY } else { Errno::INTR });
        }
        self.held.append(&mut self.queue);
        self.held_max = self.held_max.max(self.held.len());
        let some = self.draw(self.held.len() as u64 + 1);
        for _ in 0..usize::try_from(some).unwrap().max(want) {
            if !self.held.is_empty() {
                self.answer_one();
            }
        }
        Ok(())
    }

    fn is_pending(&mut self) -> bool {
        !self.queue.is_empty()
    }

    fn reap(&mut self, answers: &mut Vec<(u64, i32)>) {
        answers.append(&mut self.answers);
    }

    fn lost(&mut self) -> u32 {
        self.lost
    }
}

type TestEngine = Engine<TestPage, Fake>;

fn engine(seed: u64, mood: Mood) -> TestEngine {
    Engine::new(Fake::new(seed, mood, 4), 8)
}

fn file() -> (tempfile::TempDir, File) {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(&dir.path().join("data"), Caching::Buffered).unwrap();
    (dir, file)
}

fn read(file: &File) -> Op<TestPage> {
    Op::Read { file: file.clone(), offset: 0, buffer: pages(1, 1) }
}

/// Waits until nothing is in flight.
fn take_all(engine: &mut TestEngine) -> Vec<Completion<TestPage>> {
    let mut done = Vec::new();
    while engine.in_flight() > 0 {
        engine.wait(None, &mut done);
    }
    done
}

/// Operation `index` of a workload, and how many pages its buffer has.
fn operation(index: u64, kind: u64, file: &File, sockets: &(Socket, Socket), known: &[OpId]) -> (Op<TestPage>, usize) {
    let count = 1 + usize::try_from(index % 3).unwrap();
    let buffer = pages(u8::try_from(index % 251).unwrap(), count);
    let range = 0..count * 4096;
    match kind {
        0 | 1 => (Op::Read { file: file.clone(), offset: index * 65_536, buffer }, count),
        2 | 3 => (Op::Write { file: file.clone(), offset: index * 65_536, buffer }, count),
        4 if index.is_multiple_of(2) => (Op::Punch { file: file.clone(), offset: index * 65_536, bytes: 4096 }, 0),
        4 => (Op::Sync { file: file.clone() }, 0),
        5 => (Op::Receive { socket: sockets.0.clone(), buffer, range }, count),
        6 => (Op::Send { socket: sockets.1.clone(), buffer, range }, count),
        _ => match known.last() {
            Some(id) => (Op::Cancel { id: *id }, 0),
            None => (Op::Sync { file: file.clone() }, 0),
        },
    }
}

#[test]
fn whatever_the_kernel_does_each_operation_is_answered_once_with_its_own_buffer() {
    let (_dir, file) = file();
    let sockets = Socket::pair().unwrap();
    let mut retried = 0;
    for seed in 0..400 {
        let mood = Mood { faults: seed % 60, strays: seed % 40, refusals: seed % 50 };
        let mut engine = engine(seed, mood);
        let (mut known, mut wanted, mut done) = (Vec::new(), BTreeMap::new(), Vec::new());
        for index in 0..100 {
            let kind = engine.kernel_mut().draw(8);
            let (op, count) = operation(index, kind, &file, &sockets, &known);
            known.push(engine.submit(op, index));
            wanted.insert(index, (known[known.len() - 1], count));
            if engine.kernel_mut().chance(30) {
                engine.poll(&mut done);
            }
        }
        done.append(&mut take_all(&mut engine));
        for completion in done {
            let (id, count) = wanted.remove(&completion.user).expect("an operation is answered once");
            assert_eq!(completion.id, id);
            assert_eq!(completion.buffer.as_ref().map_or(0, |buffer| buffer.len()), count);
            if let Some(buffer) = completion.buffer {
                assert_eq!(u64::from(buffer[count - 1].0[4095]), completion.user % 251, "its own buffer");
            }
        }
        assert_eq!(wanted.len(), 0, "seed {seed}: every operation is answered");
        let fake = engine.kernel_mut();
        assert!(fake.held_max <= 8, "{} were with the kernel, which has room for 8", fake.held_max);
        retried += fake.tags.len() - 100.min(fake.tags.len());
        // Answers that were still to come when the last operation ended are not strays yet.
        let strays = fake.strays;
        engine.poll(&mut Vec::new());
        assert_eq!(engine.strays(), strays, "seed {seed}");
        assert_eq!((engine.slots_taken(), engine.spans.len()), (0, 0));
    }
    assert!(retried > 1_000, "the rare branch ran {retried} times");
}

#[test]
fn dropped_at_any_moment_it_brings_everything_home() {
    let (_dir, file) = file();
    let sockets = Socket::pair().unwrap();
    let listener = crate::Listener::bind(&_dir.path().join("socket"), 0o600, None).unwrap();
    let doorbell = Doorbell::new().unwrap();
    for seed in 0..400 {
        let mood = Mood { faults: seed % 60, strays: seed % 40, refusals: seed % 50 };
        let mut engine = engine(seed, mood);
        for index in 0..1 + seed % 40 {
            let kind = engine.kernel_mut().draw(9);
            let op = match kind {
                7 => Op::Watch { doorbell: doorbell.clone() },
                8 => Op::Accept { listener: listener.clone() },
                kind => operation(index, kind, &file, &sockets, &[]).0,
            };
            engine.submit(op, index);
            if engine.kernel_mut().chance(20) {
                engine.poll(&mut Vec::new());
            }
        }
        // The drain asserts by itself that no slot is left; what it must also leave is the handles.
        drop(engine);
    }
    let (one, two) = sockets;
    for count in [one.handles(), two.handles(), file.handles(), doorbell.handles()] {
        assert_eq!(count, 1, "nothing in flight holds a handle any more");
    }
}

#[test]
fn a_double_answer_is_never_credited_to_the_slots_next_user() {
    let (_dir, file) = file();
    let mut engine = engine(1, Mood::default());
    let first = engine.submit(read(&file), 1);
    assert_eq!(take_all(&mut engine)[0].user, 1);
    let second = engine.submit(read(&file), 2);
    assert_eq!(first.slot, second.slot, "the slot is used again");
    engine.issue();
    let double = Ticket { slot: first.slot, generation: first.generation };
    engine.kernel_mut().answers.push((double.to_user_data(), 4096));
    engine.take_answers();
    assert_eq!((engine.strays(), engine.done.len()), (1, 0));
    assert_eq!(take_all(&mut engine)[0].user, 2);
}

#[test]
fn an_answer_to_what_was_never_handed_over_is_a_stray() {
    let (_dir, file) = file();
    let mut engine = engine(1, Mood::default());
    let id = engine.submit(read(&file), 1);
    // The ticket is current, but it waits in the backlog.
    let tag = Ticket { slot: id.slot, generation: id.generation }.to_user_data();
    engine.kernel_mut().answers.push((tag, 4096));
    engine.take_answers();
    assert_eq!(engine.strays(), 1);
    assert_eq!(take_all(&mut engine).len(), 1);
}

#[test]
#[should_panic(expected = "dropped 3 completions")]
fn lost_answers_stop_everything() {
    let mut engine = engine(1, Mood::default());
    engine.kernel_mut().lost = 3;
    // The drain at the drop must be able to end.
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.poll(&mut Vec::new())));
    engine.kernel_mut().lost = 0;
    std::panic::resume_unwind(caught.unwrap_err());
}

#[test]
fn a_failed_flush_is_not_tried_again() {
    let (_dir, file) = file();
    let mut engine = engine(1, Mood { faults: 100, ..Mood::default() });
    engine.kernel_mut().random = 12_345;
    for user in 0..50 {
        engine.submit(Op::Sync { file: file.clone() }, user);
    }
    let done = take_all(&mut engine);
    let failed = done.iter().filter(|completion| completion.result.is_err()).count() as u64;
    assert!(failed > 0 && failed < 51);
    // Every flush that the kernel saw more than once had been asked to be repeated, never one that had failed.
    assert!(done.iter().all(|completion| match completion.result {
        Err(error) => error.errno() == Errno::IO.raw_os_error(),
        Ok(_) => true,
    }));
}
