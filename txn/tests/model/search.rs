//! The search: breadth first over all inputs, each state once, a shortest path to whatever does not hold.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How often things may still happen that need not.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub commits: u32,
    pub forces: u32,
    pub failures: u32,
    pub crosses: u32,
}

/// What may happen, and on which shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    Commit(usize),
    Force(usize),
    Timer(usize),
    Bell(usize),
    /// The write of a shard's n-th close has completed.
    Written(usize, usize),
    Flushed(usize),
    FlushFailed(usize),
    Pin(usize),
    Decide,
    Abort,
    Apply(usize),
}

/// A rule that the engine around the machine breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    AckWhenIssued,
    NoPin,
    StaleTag,
    LeaveAnything,
    RetryBelieved,
    FlushBeforeWritten,
}

/// What does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// An epoch was announced and can be lost.
    NoticeLost,
    /// Part of what the cut keeps is not there.
    Torn,
    /// A later commit has an earlier epoch.
    Causality,
    CloseOrder,
    EmptyEpoch,
    /// Close records that no recovery can make sense of.
    Contradiction,
    /// Something committed is never persistent.
    Progress,
}

/// What was seen: how many states, and which of the rare situations.
#[derive(Debug)]
pub struct Seen {
    pub states: usize,
    pub marks: BTreeSet<&'static str>,
}

/// Visits every state; answers with what was seen, or with what is violated and the inputs that lead there.
pub fn explore<W: Debug>(
    start: impl Fn() -> W,
    inputs: impl Fn(&W) -> (Vec<Input>, Vec<Input>),
    step: impl Fn(&mut W, Input) -> Result<(), Violation>,
    marks: impl Fn(&W) -> Vec<&'static str>,
) -> Result<Seen, (Violation, Vec<Input>)> {
    let mut marked = BTreeSet::new();
    let mut seen = BTreeSet::from([fingerprint(&start())]);
    let mut paths = VecDeque::from([Vec::new()]);
    while let Some(path) = paths.pop_front() {
        let replay = || {
            let mut world = start();
            path.iter().for_each(|input| step(&mut world, *input).expect("this step was good before"));
            world
        };
        let (may, must) = inputs(&replay());
        for input in may.into_iter().chain(must) {
            let mut world = replay();
            let mut longer = path.clone();
            longer.push(input);
            if let Err(violation) = step(&mut world, input) {
                return Err((violation, longer));
            }
            if seen.insert(fingerprint(&world)) {
                marked.extend(marks(&world));
                paths.push_back(longer);
            }
        }
    }
    Ok(Seen { states: seen.len(), marks: marked })
}

/// Two hashes of all that tells one state from another: 128 bits, so that none is taken for another by chance.
fn fingerprint(world: &impl Debug) -> (u64, u64) {
    let text = format!("{world:?}");
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(1))
}
