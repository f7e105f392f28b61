//! Planned errors: the n-th request of a kind fails, once or from then on.

use segments::{DeviceError, Request};

/// What a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FaultKind {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Flushes.
    Flush,
    /// Growths.
    Grow,
    /// Zeroings.
    Zero,
    /// Punches.
    Punch,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Flush, Self::Grow, Self::Zero, Self::Punch];

    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Read { .. } => Self::Read,
            Request::Write { .. } => Self::Write,
            Request::Flush => Self::Flush,
            Request::Grow { .. } => Self::Grow,
            Request::Zero { .. } => Self::Zero,
            Request::Punch { .. } => Self::Punch,
        }
    }
}

/// One planned error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What it strikes.
    pub kind: FaultKind,
    /// Which one of its kind, counted from 0.
    pub nth: u64,
    /// Whether all later ones fail too.
    pub sticky: bool,
    /// What is answered.
    pub error: DeviceError,
}

impl Fault {
    /// The medium fails.
    #[must_use]
    pub fn medium(kind: FaultKind, nth: u64, sticky: bool) -> Self {
        Self { kind, nth, sticky, error: DeviceError::Io { errno: 5 } }
    }

    /// There is no room.
    #[must_use]
    pub fn no_space(kind: FaultKind, nth: u64, sticky: bool) -> Self {
        Self { kind, nth, sticky, error: DeviceError::NoSpace { errno: 28 } }
    }
}

/// All errors planned for a device, and how far it has come.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    planned: Vec<Fault>,
    /// One that counts requests of all kinds, reads among them: which one, whether all later ones too, and the answer.
    any: Option<(u64, bool, DeviceError)>,
    seen: [u64; FaultKind::ALL.len()],
    given: u64,
}

impl Faults {
    /// No errors.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// These errors, counted from now.
    #[must_use]
    pub fn plan(planned: &[Fault]) -> Self {
        Self { planned: planned.to_vec(), ..Self::default() }
    }

    /// The `nth` request of all, counted from 0 and from now, and, if `sticky`, all later ones.
    #[must_use]
    pub fn of_any(nth: u64, sticky: bool, error: DeviceError) -> Self {
        Self { any: Some((nth, sticky, error)), ..Self::default() }
    }

    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Counts a request and answers the error planned for it.
    pub(super) fn next(&mut self, kind: FaultKind) -> Option<DeviceError> {
        let slot = FaultKind::ALL.iter().position(|of_all| *of_all == kind).expect("all kinds are in the list");
        let (number, of_all) = (self.seen[slot], self.seen.iter().sum::<u64>());
        self.seen[slot] += 1;
        let strikes =
            |fault: &&Fault| fault.kind == kind && (fault.nth == number || fault.sticky && fault.nth < number);
        let planned = self.planned.iter().find(strikes).map(|fault| fault.error);
        let any = self.any.filter(|(nth, sticky, _)| *nth == of_all || *sticky && *nth < of_all);
        let error = planned.or(any.map(|(_, _, error)| error));
        self.given += u64::from(error.is_some());
        error
    }
}
