//! Simulated crashes: the device loses, keeps or tears what was not flushed, and every request is known exactly if its effect is there.

use crate::bench::{Bench, tiny};
use crate::column::{pair_of, plain};
use domains::persistent;
use domains::schema::{TableHome, TableKind};
use domains::{Answer, ClientId, Committed, Engine, Level, Once, Op, OpId, RequestFate};
use segments::{EpochId, TableId};
use std::collections::BTreeMap;
use tests::device::SimDevice;
use tests::rng::Rng;
use txn::{CommitSet, Expect, PutOptions};

const ME: ClientId = ClientId([7; 16]);
const SEEDS: u64 = 400;
const LIVES: u64 = 6;
/// New requests of a life at most: those of all lives lie within the window.
const REQUESTS_MAX: u64 = 40;

/// A store, and what its client knows of its requests: what it was told, where it was.
struct Client {
    bench: Bench<Engine, SimDevice>,
    table: TableId,
    attempt: u64,
    requests: BTreeMap<u64, Option<Committed>>,
}

/// What happened over all seeds.
#[derive(Debug, Default)]
struct Seen {
    lost_though_answered: u64,
    kept_though_unanswered: u64,
    lost_unanswered: u64,
    duplicates: u64,
}

fn letter(table: TableId) -> CommitSet {
    let mut set = CommitSet::new();
    set.append(table, b"letters", b"x", PutOptions::default(), Expect::Any).unwrap();
    set
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut bench = Bench::format(SimDevice::new(0, seed), &tiny());
        let spec = plain(TableKind::Hash, TableHome::Persistent);
        let Answer::Table(info) = bench.call(Op::CreateTable { name: "letters".to_owned(), spec }).unwrap() else {
            panic!()
        };
        let mut client = Self { bench, table: info.id, attempt: 0, requests: BTreeMap::new() };
        client.identify();
        client
    }

    fn identify(&mut self) {
        self.attempt += 1;
        let Answer::Identified(identified) =
            self.bench.call(Op::Identify { client: ME, attempt: self.attempt }).unwrap()
        else {
            panic!()
        };
        assert!(identified.accepted);
    }

    fn commit(&self, request: u64, level: Level) -> Op {
        let once = Once { client: ME, attempt: self.attempt, request };
        Op::CommitOnce { set: letter(self.table), level, once }
    }

    fn letters(&mut self) -> u64 {
        let answer = self.bench.call(Op::Lookup { table: self.table, key: b"letters".to_vec() }).unwrap();
        pair_of(answer).map_or(0, |pair| pair.value.len() as u64)
    }

    /// New requests, some sent twice, until the power fails or none are left.
    fn live(&mut self, rng: &mut Rng, seen: &mut Seen) {
        self.bench.device.crash_after(rng.below(60));
        let mut flying: BTreeMap<OpId, u64> = BTreeMap::new();
        for _ in 0..rng.below(REQUESTS_MAX) {
            let request = self.requests.len() as u64 + 1;
            self.requests.insert(request, None);
            let again = (rng.chance(1, 4)).then(|| 1 + rng.below(request));
            seen.duplicates += u64::from(again.is_some());
            for request in [Some(request), again].into_iter().flatten() {
                let level = if rng.chance(1, 4) { Level::Persistent } else { Level::Committed };
                let op = self.commit(request, level);
                flying.insert(self.bench.start(op), request);
            }
            for _ in 0..rng.below(6) {
                self.bench.turn();
            }
            self.take(&mut flying);
        }
        for _ in 0..rng.below(200) {
            self.bench.turn();
        }
        self.take(&mut flying);
    }

    fn take(&mut self, flying: &mut BTreeMap<OpId, u64>) {
        let ids: Vec<OpId> = flying.keys().copied().collect();
        for id in ids {
            let Some(answer) = self.bench.take(id) else { continue };
            let request = flying.remove(&id).unwrap();
            match answer {
                Ok(Answer::Committed(committed)) => self.told(request, committed),
                Ok(other) => panic!("{other:?}"),
                // The power has failed under it.
                Err(error) => assert!(self.bench.device.is_gone(), "request {request}: {error}"),
            }
        }
    }

    /// However often it is told, it is the same commit.
    fn told(&mut self, request: u64, committed: Committed) {
        let known = self.requests.get_mut(&request).unwrap();
        if let Some(before) = known {
            assert_eq!((before.epoch, &before.versions), (committed.epoch, &committed.versions), "request {request}");
        }
        *known = Some(committed);
    }

    /// The power fails; the store is opened again. Returns the cut.
    fn crash(self, rng: &mut Rng) -> (Self, EpochId) {
        let Self { mut bench, table, attempt, requests } = self;
        let image = bench.device.crash(rng);
        drop(bench);
        let mut device = SimDevice::on(image, rng.next_u64());
        let (domain, report) = persistent::open(&mut device, &tiny()).unwrap();
        (Self { bench: Bench::new(domain, device), table, attempt, requests }, report.cut)
    }

    /// Everything is known of every request: what was told and lies before the cut, and whatever else has left a letter. What is not
    /// there is sent again.
    fn reconcile(&mut self, cut: EpochId, seen: &mut Seen) {
        self.identify();
        let requests: Vec<u64> = self.requests.keys().copied().collect();
        let Answer::Fates(fates) = self.bench.call(Op::Fates { client: ME, requests }).unwrap() else { panic!() };
        let mut there = 0;
        for ((request, known), fate) in self.requests.iter_mut().zip(fates) {
            let applied = match fate {
                RequestFate::Applied(committed) => Some(committed),
                RequestFate::NotApplied => None,
                RequestFate::Forgotten => panic!("request {request} lies within the window"),
            };
            match (&*known, &applied) {
                (Some(told), Some(applied)) => {
                    assert_eq!((told.epoch, &told.versions), (applied.epoch, &applied.versions), "request {request}");
                    assert!(told.epoch <= cut, "request {request} is known, and lies behind the cut");
                }
                (Some(told), None) => {
                    assert!(told.epoch > cut, "request {request} of {} lies before the cut {cut}", told.epoch);
                    seen.lost_though_answered += 1;
                }
                (None, Some(_)) => seen.kept_though_unanswered += 1,
                (None, None) => seen.lost_unanswered += 1,
            }
            there += u64::from(applied.is_some());
            *known = applied;
        }
        assert_eq!(self.letters(), there, "the requests that are known are those whose letters are there");
        for request in 1..=self.requests.len() as u64 {
            let op = self.commit(request, Level::Committed);
            let Answer::Committed(committed) = self.bench.call(op).unwrap() else { panic!() };
            self.told(request, committed);
        }
        assert_eq!(self.letters(), self.requests.len() as u64, "each once");
    }
}

#[test]
fn over_simulated_crashes_each_request_is_known_exactly_if_its_effect_is_there() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let mut client = Client::new(seed);
        for _ in 0..LIVES {
            client.live(&mut rng, &mut seen);
            let (survivor, cut) = client.crash(&mut rng);
            client = survivor;
            client.reconcile(cut, &mut seen);
        }
    }
    println!("{seen:?}");
    let Seen { lost_though_answered, kept_though_unanswered, lost_unanswered, duplicates } = seen;
    let rarest = lost_though_answered.min(kept_though_unanswered).min(lost_unanswered).min(duplicates);
    assert!(rarest > 50, "every case was met: {seen:?}");
}
