//! Devices that fail while a store is written: any write or flush, once or for good, with nothing or half of it done.
//!
//! A scripted client changes two tables alike. Whatever fails, what it was told is persistent is there after the next open, whole
//! transactions in their order and no more than it had sent; and a domain of which a write of the log or a flush failed says so
//! from then on.

use super::failing::{BAD, Failing, How, Kind, Plan};
use super::*;
use segments::page::{self, PageKind};
use std::cell::Cell;

const FULL: DeviceError = DeviceError::NoSpace { errno: 28 };
/// Seed of the checksums of the tests' stores.
const SALT: u32 = 3;

/// The pairs of either table.
type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a client knows.
struct Client {
    tables: [TableId; 2],
    /// What the tables held after each transaction that was applied, and its epoch.
    states: Vec<(EpochId, Pairs)>,
    /// The last of them that it was told is persistent.
    persistent: usize,
    poisoned: bool,
    /// The codes of transactions refused for want of room.
    refused: Vec<u16>,
}

impl Client {
    fn new<D: Device>(bench: &mut Bench<D>) -> Self {
        let tables = [TableKind::Hash, TableKind::Ordered]
            .map(|kind| bench.create(&format!("{kind:?}"), kind, TableHome::Persistent));
        Self { tables, states: vec![(EpochId(0), Pairs::new())], persistent: 0, poisoned: false, refused: Vec::new() }
    }

    /// One transaction, the same in both tables.
    fn change<D: Device>(&mut self, bench: &mut Bench<D>, n: u8) {
        let mut state = self.states.last().unwrap().1.clone();
        let (key, value) = (vec![n % 7], vec![n; [10, 700, 3000, 9000, 60_000][usize::from(n) % 5]]);
        let mut set = CommitSet::new();
        for table in self.tables {
            if n % 6 == 5 {
                set.remove(table, &key).unwrap();
            } else {
                set.upsert(table, &key, &value, PutOptions::default()).unwrap();
            }
        }
        if n % 6 == 5 {
            state.remove(&key);
        } else {
            state.insert(key, value);
        }
        let level = if n.is_multiple_of(3) { Level::Persistent } else { Level::Committed };
        match bench.commit(set, level) {
            Ok(committed) => {
                assert!(!self.poisoned, "a poisoned domain applies nothing");
                self.states.push((committed.epoch, state));
                if level == Level::Persistent {
                    assert!(committed.epoch <= bench.engine.horizon().persistent);
                }
            }
            Err(error @ Error::Poisoned { .. }) => {
                self.poisoned = true;
                if let Error::Poisoned { applied: true, epoch, .. } = error {
                    self.states.push((epoch, state));
                }
            }
            Err(error @ (Error::NoSpace { .. } | Error::DeviceFailed { .. })) => self.refused.push(error.code()),
            Err(error) => panic!("{error}"),
        }
        self.notice(bench);
    }

    fn force<D: Device>(&mut self, bench: &mut Bench<D>) {
        match bench.call(Op::Force) {
            Ok(_) => assert!(self.states.last().unwrap().0 <= bench.engine.horizon().persistent),
            Err(Error::Poisoned { .. }) => self.poisoned = true,
            Err(error) => panic!("{error}"),
        }
        self.notice(bench);
    }

    fn notice<D: Device>(&mut self, bench: &Bench<D>) {
        let horizon = bench.engine.horizon().persistent;
        self.persistent =
            self.states.iter().rposition(|(epoch, _)| *epoch <= horizon).expect("the first is of no epoch");
    }

    /// What is read: everything that was applied, poisoned or not.
    fn reads<D: Device>(&self, bench: &mut Bench<D>, state: &Pairs) {
        for table in self.tables {
            let mut all = bench.all(table, 3);
            all.sort();
            assert_eq!(all, state.clone().into_iter().collect::<Vec<_>>());
        }
    }

    /// What another open finds: a state that it was in, and no older one than it was told is persistent.
    fn check_opened(&self, mut device: MemoryDevice) {
        let (engine, report) = open(&mut device, &tiny()).unwrap();
        let mut after = Bench { device, engine, config: tiny(), now: Tick::default(), next: 0 };
        let mut found = after.all(self.tables[1], 100);
        found.sort();
        let found: Pairs = found.into_iter().collect();
        let at = self.states.iter().rposition(|(_, state)| *state == found);
        assert!(at.is_some_and(|at| at >= self.persistent), "{at:?} of {}, {report:?}", self.persistent);
        self.reads(&mut after, &found);
        after.put(self.tables[0], b"on", b"it goes");
        after.force();
    }
}

/// What became of one run.
struct Run {
    seen: u64,
    poisoned: bool,
    refused: bool,
}

fn run(plan: Plan) -> Run {
    let mut bench = Bench::new(tiny());
    let mut client = Client::new(&mut bench);
    let (seen, of_log) = (Cell::new(0), Cell::new(false));
    let fails = |request: &Request| {
        let mut count = seen.get();
        let struck = plan.strikes(request, &mut count);
        seen.set(count);
        of_log.set(of_log.get() || struck.is_some() && !is_hint(request));
        struck
    };
    let Bench { device, engine, config, now, next } = bench;
    let mut bench = Bench { device: Failing::new(device, fails), engine, config, now, next };
    for n in 0..25 {
        client.change(&mut bench, n);
        if n % 4 == 3 {
            client.force(&mut bench);
        }
    }
    client.force(&mut bench);
    // Summaries are written when what they speak of is persistent.
    for _ in 0..5 {
        bench.run();
    }
    assert_eq!(client.poisoned, of_log.get() && plan.kind != Kind::Room, "{plan:?}");
    let last = client.states.last().unwrap().1.clone();
    client.reads(&mut bench, &last);
    let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!("another answer") };
    assert_eq!(status.poisoned.is_some(), client.poisoned);
    // A device that fails is no device that is full.
    let code = if plan.how == How::Refused(FULL) { 104 } else { 108 };
    assert!(client.refused.iter().all(|refused| *refused == code), "{plan:?}: {:?}", client.refused);
    let (poisoned, refused) = (client.poisoned, !client.refused.is_empty());
    for image in bench.device.crashed() {
        client.check_opened(image);
    }
    Run { seen: seen.get(), poisoned, refused }
}

/// Whether it is a write of a summary, without which the log's own pages are read.
fn is_hint(request: &Request) -> bool {
    let Request::Write { frames, .. } = request else { return false };
    let header = page::parse(frames.page(0), SALT).expect("what is written is a page");
    matches!(header.kind, PageKind::Summary | PageKind::SummaryFooter)
}

/// Runs with each request of a kind failing in turn, once and from then on; how many, poisoned, and refused something.
fn each(kind: Kind, how: How) -> (u32, u32, u32) {
    let mut all = (0, 0, 0);
    for sticky in [false, true] {
        for n in 1.. {
            let run = run(Plan { kind, n, sticky, how });
            if run.seen < n {
                break;
            }
            all = (all.0 + 1, all.1 + u32::from(run.poisoned), all.2 + u32::from(run.refused));
        }
    }
    all
}

#[test]
fn any_write_or_flush_may_fail_and_nothing_announced_is_lost() {
    for how in [How::Refused(BAD), How::Refused(FULL), How::Short] {
        let (runs, poisoned, _) = each(Kind::Write, how);
        assert!(runs > 40 && poisoned > 30 && poisoned < runs, "{how:?}: {poisoned} of {runs} poisoned");
    }
    for how in [How::Refused(BAD), How::Refused(FULL)] {
        let (runs, poisoned, _) = each(Kind::Flush, how);
        assert!(runs > 20 && poisoned == runs, "{how:?}: {poisoned} of {runs} poisoned");
    }
}

/// Room that is refused is no failure of what was written: the domain goes on without what had no room.
#[test]
fn any_growth_may_be_refused_and_poisons_nothing() {
    for how in [How::Refused(BAD), How::Refused(FULL)] {
        let (runs, poisoned, refused) = each(Kind::Room, how);
        assert!(
            runs > 20 && poisoned == 0 && refused > 10,
            "{how:?}: {refused} of {runs} refused, {poisoned} poisoned"
        );
    }
}
