//! The table against a model: what is current is found, what is stale is not.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn tags_carry_slot_and_generation() {
    for (slot, generation) in [(0, 0), (1, 0), (0, 1), (u32::MAX, 7), (7, u32::MAX)] {
        let ticket = Ticket { slot, generation };
        assert_eq!(Ticket::from_user_data(ticket.to_user_data()), ticket);
    }
    assert_eq!(Ticket { slot: 2, generation: 3 }.to_user_data(), 0x3_0000_0002);
}

#[test]
fn a_renewed_ticket_makes_the_old_one_stale() {
    let mut slots = Slots::new();
    let old = slots.insert("read");
    let new = slots.renew(old);
    assert_eq!((slots.get(old), slots.get(new)), (None, Some(&"read")));
    assert_eq!(slots.remove(old), None);
    assert_eq!(slots.remove(new), Some("read"));
    assert_eq!(slots.len(), 0);
    let next = slots.insert("write");
    assert_eq!(next.slot, new.slot, "the slot is used again");
    assert_eq!((slots.get(new), slots.get(next)), (None, Some(&"write")));
}

#[test]
fn generations_go_round() {
    let mut slots = Slots::new();
    let ticket = slots.insert(1);
    slots.slots[0].generation = u32::MAX;
    let last = Ticket { slot: 0, generation: u32::MAX };
    let first = slots.renew(last);
    assert_eq!(first, ticket);
    assert_eq!(slots.tickets(), [first]);
}

proptest! {
    #[test]
    fn what_is_current_is_found_and_nothing_else(steps in proptest::collection::vec((0..4u8, any::<u16>()), 1..200)) {
        let (mut slots, mut model, mut stale) = (Slots::new(), BTreeMap::new(), Vec::new());
        for (step, pick) in steps {
            let known: Vec<u64> = model.keys().copied().collect();
            let chosen = known.get(usize::from(pick) % known.len().max(1)).map(|tag| Ticket::from_user_data(*tag));
            match (step, chosen) {
                (0 | 1, _) => {
                    let ticket = slots.insert(pick);
                    prop_assert!(model.insert(ticket.to_user_data(), pick).is_none());
                }
                (2, Some(ticket)) => {
                    let content = model.remove(&ticket.to_user_data()).expect("it was listed");
                    model.insert(slots.renew(ticket).to_user_data(), content);
                    stale.push(ticket);
                }
                (_, Some(ticket)) => {
                    prop_assert_eq!(slots.remove(ticket), model.remove(&ticket.to_user_data()));
                    stale.push(ticket);
                }
                (_, None) => {}
            }
            prop_assert_eq!(slots.len(), model.len());
            for (tag, content) in &model {
                prop_assert_eq!(slots.get(Ticket::from_user_data(*tag)), Some(content));
            }
            for ticket in &stale {
                prop_assert_eq!(slots.get(*ticket), None);
            }
        }
    }
}
