//! The table is whole, and the document shows it.

use super::*;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../design/transactions.md");

/// The text inside the fence that follows `heading`.
fn fenced(heading: &str) -> String {
    let (_, after) = DOCUMENT.split_once(heading).expect("the heading is there");
    let (_, inside) = after.split_once("```mermaid\n").expect("a diagram follows it");
    inside.split_once("```").expect("the fence ends").0.to_owned()
}

#[test]
fn the_document_shows_the_table() {
    assert_eq!(fenced("## Lifecycle"), diagram(), "copy the right side into design/transactions.md");
}

#[test]
fn the_document_shows_the_epochs_table() {
    assert_eq!(
        fenced("## An epoch on one shard"),
        crate::epoch::diagram(),
        "copy the right side into design/transactions.md"
    );
}

#[test]
fn the_table_is_a_function_and_reaches_everything() {
    let mut seen = BTreeSet::from([Open]);
    for (at, (from, by, to)) in TXN_TRANSITIONS.iter().enumerate() {
        assert!(TXN_TRANSITIONS[..at].iter().all(|(f, b, _)| (f, b) != (from, by)), "{from:?} {by:?} twice");
        assert!(seen.contains(from), "{from:?} is reached before it is left");
        assert_eq!(from.after(*by), Ok(*to));
        seen.insert(*to);
    }
    assert_eq!(seen, BTreeSet::from(TXN_STATES));
}

#[test]
fn what_is_not_in_the_table_is_refused() {
    let inputs = [Commit, Prepare, Abort, Refuse, Withhold, Decide, Applied, Retry, Notice, Cover, Poison];
    let legal = TXN_STATES.iter().flat_map(|state| inputs.iter().filter(|input| state.after(**input).is_ok())).count();
    assert_eq!(legal, TXN_TRANSITIONS.len());
    for input in inputs {
        for state in [Placed, Aborted, Failed, InDoubt] {
            assert!(state.is_final());
            assert_eq!(state.after(input), Err(Illegal { state, input }));
        }
    }
    assert_eq!(Illegal { state: Placed, input: Abort }.to_string(), "a transaction in state Placed cannot take Abort");
}

#[test]
fn what_is_visible_stays_visible() {
    for state in TXN_STATES.into_iter().filter(|state| state.is_visible()) {
        assert!(state.successors().all(TxnState::is_visible), "{state:?} may be taken back");
    }
    assert_eq!(Open.successors().collect::<Vec<_>>(), [Committed, Preparing, Aborted, Failed]);
}
