//! The slot table: what is in flight, each under a slot and a generation that together make the kernel's tag.
//!
//! Invariants: a ticket is current from the moment it is issued until its slot is renewed or freed, and never again after
//! that (short of four billion uses of one slot); a stale ticket finds nothing. Pure: it knows no kernel.

/// A slot and the generation it was issued under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Ticket {
    /// As the kernel carries it: generation above, slot below.
    pub(crate) fn to_user_data(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// From what the kernel brought back.
    pub(crate) fn from_user_data(data: u64) -> Self {
        let slot = u32::try_from(data & u64::from(u32::MAX)).expect("the low half has 32 bits");
        let generation = u32::try_from(data >> 32).expect("32 bits remain after the shift");
        Self { slot, generation }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Option<T>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// How many slots hold something.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts `content` into a free slot.
    pub(crate) fn insert(&mut self, content: T) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.slots.len()).expect("fewer than four billion operations in flight");
            assert!(slot < u32::MAX, "the last slot number is kept for tags of no operation");
            self.slots.push(Slot { generation: 0, content: None });
            slot
        });
        let place = &mut self.slots[slot as usize];
        assert!(place.content.is_none(), "a free slot holds nothing");
        place.content = Some(content);
        Ticket { slot, generation: place.generation }
    }

    /// What the ticket stands for, if it is current.
    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let place = self.slots.get_mut(ticket.slot as usize)?;
        if place.generation == ticket.generation { place.content.as_mut() } else { None }
    }

    /// What the ticket stands for, if it is current.
    pub(crate) fn get(&self, ticket: Ticket) -> Option<&T> {
        let place = self.slots.get(ticket.slot as usize)?;
        if place.generation == ticket.generation { place.content.as_ref() } else { None }
    }

    /// What lies in a slot, with its current ticket, whatever its generation.
    pub(crate) fn at_slot(&mut self, slot: u32) -> Option<(Ticket, &mut T)> {
        let place = self.slots.get_mut(slot as usize)?;
        let ticket = Ticket { slot, generation: place.generation };
        place.content.as_mut().map(|content| (ticket, content))
    }

    /// Gives the same content a new ticket, so that late answers to the old one find nothing.
    pub(crate) fn renew(&mut self, ticket: Ticket) -> Ticket {
        assert!(self.get_mut(ticket).is_some(), "{ticket:?} is not current");
        let place = &mut self.slots[ticket.slot as usize];
        place.generation = place.generation.wrapping_add(1);
        Ticket { slot: ticket.slot, generation: place.generation }
    }

    /// Takes the content out, if the ticket is current.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        self.get_mut(ticket)?;
        let place = &mut self.slots[ticket.slot as usize];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(ticket.slot);
        place.content.take()
    }

    /// The tickets of all that is in the table.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        let occupied = self.slots.iter().enumerate().filter(|(_, place)| place.content.is_some());
        occupied
            .map(|(slot, place)| Ticket {
                slot: u32::try_from(slot).expect("slots are counted in 32 bits"),
                generation: place.generation,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
