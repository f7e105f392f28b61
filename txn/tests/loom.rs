//! What shards do to each other's epochs, in the interleavings and the stale reads that the memory model allows; the larger
//! models with a bound on forced switches, which stands in each.
//!
//! The sources of `txn::epoch` are included here beside another `sync`, whose atomics are loom's, so the models run the
//! shipped code and no compiler flag is needed. A *twin* is the same source beside a `sync` or a `rules` that lacks one
//! strength; a model must fail on its twin, or it would prove nothing. Production code knows none of this.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::duplicate_mod,
    reason = "each twin includes all files and uses some of them"
)]

#[path = "loom/weak.rs"]
mod weak;

/// The sources of `txn::epoch` over this `sync`, with these `rules`.
macro_rules! twin {
    ($name:ident, sync { $($sync:item)* }, $($rules:item)*) => {
        #[path = "../src/epoch"]
        mod $name {
            use txn::limits::{EPOCHS_IN_FLIGHT_MAX, FORCED_IN_FLIGHT_MAX};
            mod sync {
                pub(crate) use loom::sync::Arc;
                pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
                $($sync)*
            }
            $($rules)*
            mod machine;
            mod ring;
            mod shared;
            mod state;
            #[path = "../../tests/loom/models.rs"]
            pub mod models;
        }
    };
}

twin!(shipped, sync { pub(crate) use loom::sync::atomic::{AtomicU64, fence}; }, mod rules;);
twin!(without_fences, sync { pub(crate) use {crate::weak::no_fence as fence, loom::sync::atomic::AtomicU64}; }, mod rules;);
twin!(read_then_join, sync {
    pub(crate) type AtomicU64 = crate::weak::WeakU64<true, false>;
    pub(crate) use loom::sync::atomic::fence;
}, mod rules;);
twin!(load_then_store, sync {
    pub(crate) type AtomicU64 = crate::weak::WeakU64<false, true>;
    pub(crate) use loom::sync::atomic::fence;
}, mod rules;);
twin!(untagged, sync { pub(crate) use loom::sync::atomic::{AtomicU64, fence}; },
    #[path = "."]
    mod rules {
        #[path = "rules.rs"]
        mod real;
        pub(crate) use real::{MEMBERS_ALL, bits, complete, counter, may_leave, word};
        /// Believes a slot whatever epoch it speaks of.
        pub(crate) fn bits_of(word: u64, _: u64) -> Option<u32> {
            (word != 0).then(|| bits(word))
        }
    }
);

/// Declares a test that passes over the shipped code, and one that must fail over a twin.
macro_rules! model {
    ($model:ident ( $($arg:expr),* ), $twin_test:ident: $twin:ident ( $($twin_arg:expr),* ) says $said:literal) => {
        #[test]
        fn $model() {
            shipped::models::$model($($arg),*);
        }
        #[test]
        #[should_panic(expected = $said)]
        fn $twin_test() {
            $twin::models::$model($($twin_arg),*);
        }
    };
}

use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};

model!(membership(), membership_fails_when_read_then_joined: read_then_join() says "members of epoch");
model!(two_advancers(), two_advancers_fail_without_compare_and_swap: load_then_store() says "one of the two left it");
model!(slot_by_tag(), slot_without_tag_fails: untagged() says "members of epoch");
model!(publication(), publication_without_tag_fails: untagged() says "in a slot of its own");
model!(last_acker(), last_acker_fails_without_fences: without_fences() says "one of the two moved it");
model!(waiter(), waiter_fails_without_fences: without_fences() says "nobody rings");
model!(causality(Release, Acquire), causality_fails_through_a_relaxed_mailbox: shipped(Relaxed, Relaxed) says "its cause in epoch");
model!(force_close_persist(), force_close_persist_fails_without_fences: without_fences() says "wait for ever");
model!(decision(true), decision_fails_without_a_pin: shipped(false) says "closed over an undecided part");
