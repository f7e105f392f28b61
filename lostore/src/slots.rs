//! Numbers for operations in flight: a place in a table and the place's generation, so that a number is never met twice
//! while an old one could still be about.
//!
//! Invariant: the numbers' top bit is clear and they never equal [`OpId`]`(u64::MAX >> 1)`; those are other people's.

use domains::OpId;

/// Generations of a place before it comes round: 31 bits.
const GENERATION_MASK: u32 = (1 << 31) - 1;

/// A table of what is in flight.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    content: Option<T>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// How many are in flight.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Takes a number for `content`.
    pub(crate) fn insert(&mut self, content: T) -> OpId {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.places.push(Place { generation: 0, content: None });
                u32::try_from(self.places.len() - 1).expect("fewer operations are in flight than memory could hold")
            }
        };
        assert!(at < u32::MAX, "the last number is the shard's own");
        let place = &mut self.places[at as usize];
        assert!(place.content.is_none(), "place {at} was free");
        place.content = Some(content);
        OpId(u64::from(place.generation) << 32 | u64::from(at))
    }

    /// What the number stands for.
    pub(crate) fn get_mut(&mut self, id: OpId) -> Option<&mut T> {
        let (at, generation) = split(id);
        self.places.get_mut(at).filter(|place| place.generation == generation)?.content.as_mut()
    }

    /// Gives the number back.
    pub(crate) fn remove(&mut self, id: OpId) -> Option<T> {
        let (at, generation) = split(id);
        let place = self.places.get_mut(at).filter(|place| place.generation == generation)?;
        let content = place.content.take()?;
        place.generation = (place.generation + 1) & GENERATION_MASK;
        self.free.push(u32::try_from(at).expect("it was one"));
        Some(content)
    }
}

fn split(id: OpId) -> (usize, u32) {
    let at = usize::try_from(id.0 & u64::from(u32::MAX)).expect("32 bits");
    (at, u32::try_from(id.0 >> 32).expect("32 bits remain"))
}
