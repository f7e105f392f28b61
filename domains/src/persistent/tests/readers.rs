//! Readers beside a writer: what they wait for, counted in turns of the shard while the device holds the writer's requests back.
//!
//! A reader waits for no lock, no write, no flush and no room: only for the turn that is under way, and for its own read. What one
//! turn works for a writer is bounded by the largest commit set (128 MiB of keys and values, copied).

use super::*;

/// A device on which requests of some kinds do not end until it is told to let them go.
struct Held {
    device: MemoryDevice,
    holds: fn(&Request) -> bool,
    held: Vec<(Tag, Request)>,
}

impl Held {
    /// Lets what was held go, and all that comes.
    fn release(&mut self) {
        self.holds = |_| false;
        for (tag, request) in std::mem::take(&mut self.held) {
            self.device.submit(tag, request);
        }
    }
}

impl Device for Held {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        self.device.next_data(at)
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        if (self.holds)(&request) {
            self.held.push((tag, request));
        } else {
            self.device.submit(tag, request);
        }
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        self.device.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        self.device.wait(done);
    }

    fn in_flight(&self) -> usize {
        self.device.in_flight() + self.held.len()
    }
}

const RECORDS: u32 = 300;

fn old_value(n: u32) -> Vec<u8> {
    vec![n.to_le_bytes()[0]; 500]
}

/// A store of cold records, on a device that holds such requests from now on.
fn held(holds: fn(&Request) -> bool) -> (Bench<Held>, TableId) {
    let mut bench = Bench::new(Config { cache_bytes: 1 << 20, ..tiny() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    for n in 0..RECORDS {
        bench.put(table, &n.to_le_bytes(), &old_value(n));
    }
    bench.force();
    bench.call(Op::DropCache).unwrap();
    let device = Held { device: bench.device, holds, held: Vec::new() };
    (Bench { device, engine: bench.engine, config: bench.config, now: bench.now, next: bench.next }, table)
}

/// Begins a commit of some megabytes and lets it get as far as it comes.
fn begin(bench: &mut Bench<Held>, table: TableId) -> OpId {
    let mut set = CommitSet::new();
    for n in 0..40_u32 {
        set.upsert(table, &n.to_le_bytes(), &[0xCC; 100_000], PutOptions::default()).unwrap();
    }
    let id = OpId(u64::MAX);
    bench.engine.submit(id, Op::Commit { set, level: Level::Persistent }, bench.now);
    (0..50).for_each(|_| bench.run());
    id
}

/// Turns that a lookup takes until it is answered, and its value.
fn turns_to_get(bench: &mut Bench<Held>, table: TableId, n: u32) -> (u64, Vec<u8>) {
    let before = bench.now.nanos;
    let value = bench.get(table, &n.to_le_bytes()).unwrap().value;
    ((bench.now.nanos - before) / 100_000, value)
}

/// Whether the writer has been answered since an answer was last waited for.
fn is_answered(bench: &mut Bench<Held>, id: OpId) -> bool {
    let mut answers = Vec::new();
    bench.engine.take_answers(&mut answers);
    answers.iter().any(|(answered, _)| *answered == id)
}

/// Reads every record twice: first from the device, then from memory.
fn check_readers(bench: &mut Bench<Held>, table: TableId, value: impl Fn(u32) -> Vec<u8>) {
    for n in 0..RECORDS {
        let (turns, found) = turns_to_get(bench, table, n);
        assert!(turns <= 2, "record {n} took {turns} turns: one to ask the device, one for what it brought");
        assert!(found == value(n), "record {n}");
        let (turns, _) = turns_to_get(bench, table, n);
        assert!(turns <= 1, "record {n} took {turns} turns from memory");
    }
    assert!(!bench.device.held.is_empty(), "the writer's requests are still with the device");
}

/// A writer whose pages are on their way, and whose flush would be next: what it wrote is visible, and readers read it and all else.
#[test]
fn readers_do_not_wait_for_a_writers_device() {
    for holds in [
        |request: &Request| matches!(request, Request::Write { .. }),
        |request: &Request| matches!(request, Request::Flush),
    ] {
        let (mut bench, table) = held(holds);
        let mut set = CommitSet::new();
        // As much as the room that is ready takes.
        for n in 0..2_u32 {
            set.upsert(table, &n.to_le_bytes(), &[0xCC; 900], PutOptions::default()).unwrap();
        }
        let id = OpId(u64::MAX);
        bench.engine.submit(id, Op::Commit { set, level: Level::Persistent }, bench.now);
        (0..50).for_each(|_| bench.run());
        check_readers(&mut bench, table, |n| if n < 2 { vec![0xCC; 900] } else { old_value(n) });
        bench.device.release();
        (0..50).for_each(|_| bench.run());
        assert!(is_answered(&mut bench, id), "the writer goes on");
    }
}

/// A writer of some megabytes that waits for room: nothing of it is visible, and readers read what was there.
#[test]
fn readers_do_not_wait_for_a_writers_room() {
    let (mut bench, table) = held(|request| matches!(request, Request::Grow { .. } | Request::Zero { .. }));
    let id = begin(&mut bench, table);
    check_readers(&mut bench, table, old_value);
    bench.device.release();
    (0..5_000).for_each(|_| bench.run());
    assert!(is_answered(&mut bench, id), "the writer goes on");
    assert_eq!(turns_to_get(&mut bench, table, 7).1, [0xCC; 100_000]);
}
