//! A domain and its device on a workbench: a test drives both, by hand or until an answer comes.
//!
//! Contract: time passes only with [`Bench::turn`]; nothing is random; the device stays when the domain is opened anew.
//! It does not lose what was not flushed: the simulator does that.

use domains::persistent::{self, Entropy, Report};
use domains::{Answer, Driven, Engine, Error, Op, OpId, Tick, config::Config};
use segments::memory::MemoryDevice;
use segments::{Device, DomainId};

/// Turns after which an operation that was not answered is believed to hang.
const TURNS_MAX: u32 = 200_000;
/// The wall clock at the start: some day of 2020.
pub(crate) const START_MS: u64 = 1_600_000_000_000;

/// A domain with its device.
#[derive(Debug)]
pub(crate) struct Bench<D: Driven = Engine, V: Device = MemoryDevice> {
    pub(crate) domain: D,
    pub(crate) device: V,
    pub(crate) now: Tick,
    next: u64,
    answers: Vec<(OpId, Result<Answer, Error>)>,
}

/// Settings so small that segments turn over, the tail is cut and the cache overflows within a test.
pub(crate) fn tiny() -> Config {
    Config { segment_pages: 16, tail_pages: 8, zero_pages: 4, cache_bytes: 4096, ..Config::default() }
}

impl<V: Device> Bench<Engine, V> {
    /// Formats a device and opens it.
    pub(crate) fn format(mut device: V, config: &Config) -> Self {
        let entropy = Entropy { domain: DomainId(0x0123_4567_89ab_cdef), salt: 77, hash_key: [0xA5; 16] };
        persistent::format(&mut device, config, entropy).expect("a blank device is formatted");
        let (domain, _) = persistent::open(&mut device, config).expect("a formatted device opens");
        Self::new(domain, device)
    }

    /// Forgets the domain without a word, as a killed process does, and opens its device again.
    pub(crate) fn reopen(&mut self, config: &Config) -> Result<Report, Error> {
        // What was with the device has landed or will: a lock would keep the next opener out until then.
        self.device.wait(&mut Vec::new());
        let (domain, report) = persistent::open(&mut self.device, config)?;
        self.domain = domain;
        Ok(report)
    }
}

impl<D: Driven, V: Device> Bench<D, V> {
    pub(crate) fn new(domain: D, device: V) -> Self {
        let now = Tick { nanos: 0, unix_ms: START_MS };
        Self { domain, device, now, next: 0, answers: Vec::new() }
    }

    /// Starts an operation.
    pub(crate) fn start(&mut self, op: Op) -> OpId {
        self.next += 1;
        let id = OpId(self.next);
        self.domain.submit(id, op, self.now);
        id
    }

    /// The answer, if it has come.
    pub(crate) fn take(&mut self, id: OpId) -> Option<Result<Answer, Error>> {
        self.domain.take_answers(&mut self.answers);
        let at = self.answers.iter().position(|(answered, _)| *answered == id)?;
        Some(self.answers.swap_remove(at).1)
    }

    /// Lets time, engine and device go on by one turn.
    pub(crate) fn turn(&mut self) {
        self.now.nanos += 100_000;
        self.domain.turn(self.now);
        let mut requests = Vec::new();
        self.domain.take_requests(&mut requests);
        for (tag, request) in requests {
            self.device.submit(tag, request);
        }
        let mut done = Vec::new();
        self.device.poll(&mut done);
        for completion in done {
            self.domain.complete(completion, self.now);
        }
    }

    /// Goes on until the answer comes.
    pub(crate) fn wait(&mut self, id: OpId) -> Result<Answer, Error> {
        for _ in 0..TURNS_MAX {
            if let Some(answer) = self.take(id) {
                return answer;
            }
            self.turn();
        }
        panic!("operation {id:?} was not answered within {TURNS_MAX} turns");
    }

    /// Does an operation.
    pub(crate) fn call(&mut self, op: Op) -> Result<Answer, Error> {
        let id = self.start(op);
        self.wait(id)
    }
}
