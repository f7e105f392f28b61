//! The arithmetic of holdings and waits, against what can be said of it without running it.

use super::*;
use proptest::prelude::*;

const SHARE: usize = crate::limits::SHARE_BYTES_MIN;
/// Connections of the small budget, and of one user in it.
const CONNECTIONS: usize = 8;
const OF_USER: usize = 5;

/// A budget whose shares are as small as they may be, and whose pools have `pool` and `user_pool` bytes.
fn limits(pool: usize, user_pool: usize) -> Limits {
    let set_aside = 2 * SHARE + crate::limits::HEARD_BYTES;
    Limits {
        connections_max: CONNECTIONS,
        connections_user_max: OF_USER,
        memory_bytes: pool + CONNECTIONS * set_aside,
        memory_user_bytes: user_pool + OF_USER * set_aside,
        memory_patience: Duration::from_secs(30),
        ..Limits::default()
    }
}

/// The share of such a budget: with pools of this size it is the smallest there is.
fn small(pool: usize, user_pool: usize) -> Budget {
    let limits = limits(pool, user_pool);
    let budget = Budget { share: SHARE, ..Budget::new(&limits) };
    let rooms = (Room::new(pool), user_pool);
    Budget { all: rooms.0, user_pool: rooms.1, ..budget }
}

fn at(seconds: u64) -> Tick {
    Tick { nanos: seconds * 1_000_000_000, unix_ms: seconds * 1000 }
}

fn woken(budget: &mut Budget) -> Vec<u32> {
    std::iter::from_fn(|| budget.woken()).collect()
}

#[test]
fn a_share_is_had_whatever_others_hold() {
    let mut budget = small(800, 800);
    budget.open(0, 1).unwrap();
    budget.open(1, 1).unwrap();
    // Five eighths for requests, and what is left of the pool for replies.
    assert!(budget.raise(0, Kind::Request, SHARE + 500));
    assert!(!budget.raise(0, Kind::Request, 1));
    assert!(budget.raise(0, Kind::Reply, SHARE + 300));
    assert!(!budget.raise(0, Kind::Reply, 1));
    for kind in [Kind::Request, Kind::Reply] {
        assert!(budget.raise(1, kind, SHARE), "the share is set aside");
        assert!(!budget.raise(1, kind, 1));
    }
    budget.settle(0, [SHARE + 499, SHARE + 300]);
    assert!(!budget.raise(1, Kind::Reply, 2) && budget.raise(1, Kind::Request, 1), "what is given back is there");
}

#[test]
fn connections_are_counted_over_all_and_for_each_user() {
    let mut budget = small(800, 800);
    for place in 0..5 {
        budget.open(place, 1).unwrap();
    }
    assert_eq!(budget.open(5, 1), Err(NoPlace), "of this user");
    for place in 5..8 {
        budget.open(place, 2).unwrap();
    }
    assert_eq!(budget.open(8, 3), Err(NoPlace), "of all");
    // Who has no place is told so; it neither holds nor waits.
    assert!(budget.raise(8, Kind::Reply, 1 << 40));
    budget.settle(8, [1 << 40, 1 << 40]);
    budget.close(8);
    assert_eq!(
        budget.figures(),
        Connections { count: 8, bytes_max: budget.bytes_max as u64, ..Connections::default() }
    );
    budget.close(2);
    assert_eq!(budget.open(2, 3), Ok(()));
}

#[test]
fn those_who_wait_are_served_in_their_order_and_nobody_overtakes() {
    let mut budget = small(800, 800);
    for place in 0..4 {
        budget.open(place, 1).unwrap();
    }
    assert_eq!(budget.ask(0, SHARE + 400, at(0)), Turn::Granted);
    let waiting = |more, second| Turn::Waiting { more, since: at(second) };
    assert_eq!(budget.ask(1, SHARE + 300, at(1)), waiting(SHARE + 300, 1));
    // There would be room for this one, but another asked first.
    assert_eq!(budget.ask(2, SHARE + 50, at(2)), waiting(SHARE + 50, 2));
    assert!(!budget.raise(3, Kind::Request, SHARE + 1));
    assert!(budget.raise(3, Kind::Request, SHARE), "a share is nobody's turn");
    assert_eq!(budget.figures().waiting, 2);
    budget.settle(0, [SHARE + 150, 0]);
    assert_eq!(woken(&mut budget), [1, 2]);
    assert_eq!((budget.turn(1), budget.turn(1)), (Turn::Granted, Turn::Idle), "the end of a wait is told once");
    assert_eq!(budget.turn(2), Turn::Granted);
}

#[test]
fn who_waits_for_the_own_users_pool_lets_other_users_pass() {
    let mut budget = small(8000, 800);
    for (place, user) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
        budget.open(place, user).unwrap();
    }
    assert_eq!(budget.ask(0, SHARE + 400, at(0)), Turn::Granted);
    assert!(matches!(budget.ask(1, SHARE + 200, at(0)), Turn::Waiting { .. }));
    assert!(matches!(budget.ask(2, SHARE + 1, at(0)), Turn::Waiting { .. }), "behind its user's first");
    assert_eq!(budget.ask(3, SHARE + 500, at(0)), Turn::Granted);
    budget.close(0);
    assert_eq!(woken(&mut budget), [1, 2]);
}

#[test]
fn patience_ends_and_what_can_never_be_had_is_refused_at_once() {
    let mut budget = small(800, 800);
    for place in 0..3 {
        budget.open(place, 1).unwrap();
    }
    assert_eq!(budget.ask(0, SHARE + 501, at(0)), Turn::Refused, "more than five eighths");
    assert_eq!(budget.ask(0, SHARE + 400, at(0)), Turn::Granted);
    assert_eq!(budget.ask(0, 101, at(0)), Turn::Refused, "what it holds itself does not go while it waits");
    assert!(matches!(budget.ask(1, SHARE + 300, at(0)), Turn::Waiting { .. }));
    assert!(matches!(budget.ask(2, SHARE + 50, at(10)), Turn::Waiting { .. }));
    assert_eq!(budget.expire(at(29)), Some(at(30)));
    assert_eq!(budget.expire(at(30)), None, "the first was in the way of the second");
    assert_eq!(woken(&mut budget), [1, 2]);
    assert_eq!((budget.turn(1), budget.turn(2)), (Turn::Refused, Turn::Granted));
    assert_eq!(budget.figures().refused, 3);
}

#[test]
fn an_end_makes_room_and_a_wait_that_is_given_up_is_in_nobodys_way() {
    let mut budget = small(800, 800);
    for place in 0..4 {
        budget.open(place, 1).unwrap();
    }
    assert_eq!(budget.ask(0, SHARE + 400, at(0)), Turn::Granted);
    assert!(matches!(budget.ask(1, SHARE + 300, at(0)), Turn::Waiting { .. }));
    assert!(matches!(budget.ask(2, SHARE + 100, at(0)), Turn::Waiting { .. }));
    budget.give_up(1);
    assert_eq!(woken(&mut budget), [2]);
    assert!(matches!(budget.ask(3, SHARE + 200, at(0)), Turn::Waiting { .. }));
    budget.close(0);
    assert_eq!(woken(&mut budget), [3]);
    for place in 1..4 {
        budget.close(place);
    }
    let empty = Connections { bytes_max: budget.bytes_max as u64, ..Connections::default() };
    assert_eq!((budget.figures(), budget.users.len()), (empty, 0));
}

#[test]
fn the_default_has_room_for_every_request_and_reply_there_may_be() {
    let limits = Limits::default();
    assert_eq!(limits.fitted(), limits);
    let requests = limits.pool_user_bytes() / 8 * 3;
    assert!(request_bytes(limits.request_frame_bytes_max as usize) <= requests, "also while replies take all they may");
    assert!(reply_bytes(limits.reply_frame_bytes_max as usize) <= limits.pool_user_bytes() / 8 * KIND_EIGHTHS);
    assert!(request_bytes(7 << 10) <= limits.share_bytes() && reply_bytes(10 << 10) <= limits.share_bytes());
    for bytes in [0, 255, 256, 1000, 1 << 20, (16 << 20) + 255, (16 << 20) + 257, 100 << 20] {
        let largest = request_of(bytes);
        assert!(largest == 0 || request_bytes(largest) <= bytes, "{bytes}");
        assert!(request_bytes(largest + 1) > bytes, "{bytes}");
    }
}

#[test]
fn a_small_memory_makes_small_frames() {
    let small = Limits {
        connections_max: 256,
        connections_user_max: 128,
        memory_bytes: 32 << 20,
        memory_user_bytes: 16 << 20,
        ..Limits::default()
    };
    assert_eq!(small.memory_bytes, Limits::memory_bytes_min(small.connections_max));
    let fitted = small.fitted();
    assert!((1 << 20..2 << 20).contains(&fitted.request_frame_bytes_max), "{fitted:?}");
    assert!((3 << 20..4 << 20).contains(&fitted.reply_frame_bytes_max), "{fitted:?}");
}

/// What may happen to a budget.
#[derive(Clone, Debug)]
enum Event {
    Open { place: u32, user: u32 },
    Close { place: u32 },
    Raise { place: u32, kind: Kind, more: usize },
    Ask { place: u32, more: usize },
    Lower { place: u32, kind: Kind, part: usize },
    GiveUp { place: u32 },
    Pass { seconds: u64 },
    Hear { place: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    let place = 0..u32::try_from(CONNECTIONS).unwrap();
    let more = prop_oneof![1..SHARE, SHARE..4 * SHARE];
    let kind = prop_oneof![Just(Kind::Request), Just(Kind::Reply)];
    prop_oneof![
        2 => (place.clone(), 0..3_u32).prop_map(|(place, user)| Event::Open { place, user }),
        1 => place.clone().prop_map(|place| Event::Close { place }),
        2 => (place.clone(), kind.clone(), more.clone()).prop_map(|(place, kind, more)| Event::Raise { place, kind, more }),
        4 => (place.clone(), more).prop_map(|(place, more)| Event::Ask { place, more }),
        3 => (place.clone(), kind, 0..9_usize).prop_map(|(place, kind, part)| Event::Lower { place, kind, part }),
        1 => place.clone().prop_map(|place| Event::GiveUp { place }),
        1 => (1..20_u64).prop_map(|seconds| Event::Pass { seconds }),
        2 => place.prop_map(|place| Event::Hear { place }),
    ]
}

/// What a reader of the contract would keep: the order of those who wait, by user.
#[derive(Default)]
struct Waits {
    queue: Vec<(u32, u32, u64)>,
}

impl Waits {
    /// Ends the waits that the budget has ended, and checks each end.
    fn end(&mut self, budget: &Budget, now: u64) {
        let mut passed: Vec<u32> = Vec::new();
        let mut still = Vec::new();
        for (place, user, since) in self.queue.drain(..) {
            match budget.holder(place).map(|holder| holder.turn) {
                Some(Turn::Waiting { .. }) => {
                    assert!(now < since + 30, "place {place} waits since {since}, it is {now}");
                    passed.push(user);
                    still.push((place, user, since));
                }
                Some(Turn::Granted) => assert!(!passed.contains(&user), "{place} overtook another of user {user}"),
                Some(Turn::Refused) => assert!(now >= since + 30, "place {place} had patience"),
                Some(Turn::Idle) | None => unreachable!("the test ends those itself"),
            }
        }
        self.queue = still;
    }

    fn forget(&mut self, place: u32) {
        self.queue.retain(|(waiting, ..)| *waiting != place);
    }
}

/// Sums over the connections, against what the budget keeps, and against what there is.
fn check(budget: &Budget, limits: (usize, usize)) {
    let mut all: Held = [0; 2];
    let mut users: BTreeMap<u32, (usize, usize, Held)> = BTreeMap::new();
    let mut held = 0;
    for holder in budget.holders.iter().flatten() {
        let user = users.entry(holder.user).or_default();
        user.0 += 1;
        user.1 += usize::from(matches!(holder.turn, Turn::Waiting { .. }));
        held += holder.held.iter().sum::<usize>();
        let beyond = holder.held.map(|held| held.saturating_sub(SHARE));
        for sums in [&mut all, &mut user.2] {
            *sums = [sums[0] + beyond[0], sums[1] + beyond[1]];
        }
    }
    assert_eq!((budget.all.taken, budget.bytes_held), (all, held));
    assert_eq!(budget.connections, users.values().map(|user| user.0).sum::<usize>());
    assert_eq!(budget.queue.len(), users.values().map(|user| user.1).sum::<usize>());
    assert!(held <= limits.0 + CONNECTIONS * 2 * SHARE, "together they hold {held}");
    let within = |room: &Room| {
        room.taken.iter().all(|taken| *taken <= room.pool / 8 * 5) && room.taken.iter().sum::<usize>() <= room.pool
    };
    assert!(within(&budget.all) && budget.all.pool == limits.0);
    for (user, (connections, waiting, taken)) in users {
        let kept = &budget.users[&user];
        assert_eq!((kept.connections, kept.waiting, kept.room.taken), (connections, waiting, taken));
        assert!(within(&kept.room) && kept.room.pool == limits.1 && connections <= OF_USER);
    }
    // Whoever could be served has been: the first of each user does not fit its pool, or one before all others does not fit all.
    let first = budget.queue.iter().find_map(|place| {
        let holder = budget.holder(*place)?;
        let Turn::Waiting { more, .. } = holder.turn else { return None };
        let growth = budget.growth(holder, Kind::Request, more);
        let ahead = budget.queue.iter().take_while(|other| *other != place);
        let behind = ahead.filter_map(|other| budget.holder(*other)).any(|other| other.user == holder.user);
        let blocked = behind || !budget.users[&holder.user].room.fits(Kind::Request, growth);
        (!blocked).then_some(budget.all.fits(Kind::Request, growth))
    });
    assert_ne!(first, Some(true), "somebody waits for what is there");
}

fn play(budget: &mut Budget, waits: &mut Waits, event: &Event, now: &mut u64) {
    let waiting = |budget: &Budget, place: u32| {
        matches!(budget.holder(place).map(|holder| holder.turn), Some(Turn::Waiting { .. }))
    };
    match *event {
        Event::Open { place, user } if budget.holder(place).is_none() => drop(budget.open(place, user)),
        Event::Close { place } => {
            waits.forget(place);
            budget.close(place);
        }
        Event::GiveUp { place } => {
            waits.forget(place);
            budget.give_up(place);
        }
        Event::Pass { seconds } => {
            *now += seconds;
            budget.expire(at(*now));
        }
        Event::Open { .. } => {}
        Event::Hear { place } if !waiting(budget, place) => drop(budget.turn(place)),
        Event::Raise { place, kind, more } if budget.holder(place).is_some() => drop(budget.raise(place, kind, more)),
        Event::Ask { place, more } => {
            let idle = budget.holder(place).filter(|holder| holder.turn == Turn::Idle);
            let Some(user) = idle.map(|holder| holder.user) else { return };
            if let Turn::Waiting { .. } = budget.ask(place, more, at(*now)) {
                waits.queue.push((place, user, *now));
            }
        }
        Event::Lower { place, kind, part } => {
            let Some(mut held) = budget.holder(place).map(|holder| holder.held) else { return };
            held[kind as usize] = held[kind as usize] / 8 * part.min(8);
            budget.settle(place, held);
        }
        Event::Hear { .. } | Event::Raise { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5_000) })]

    #[test]
    fn holdings_never_exceed_the_budget_and_every_wait_ends_in_its_order(
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let pools = (8 * SHARE, 6 * SHARE);
        let mut budget = small(pools.0, pools.1);
        let (mut waits, mut now) = (Waits::default(), 0);
        for event in &events {
            play(&mut budget, &mut waits, event, &mut now);
            waits.end(&budget, now);
            check(&budget, pools);
        }
        // Time alone ends every wait, and then everything is given back.
        while !budget.queue.is_empty() {
            now += 1;
            budget.expire(at(now));
            waits.end(&budget, now);
        }
        for place in 0..u32::try_from(CONNECTIONS).unwrap() {
            budget.close(place);
        }
        let empty = Connections { bytes_max: budget.bytes_max as u64, refused: budget.refused, ..Connections::default() };
        prop_assert_eq!(budget.figures(), empty);
        prop_assert!(budget.users.is_empty() && budget.queue.is_empty());
        prop_assert_eq!(budget.all.taken, [0; 2]);
    }
}
