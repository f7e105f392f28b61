use super::*;
use proptest::prelude::*;

const QUANTUM: usize = 100;

/// Clients with requests of known cost, and what was done for each.
struct Clients {
    fair: Fair,
    queues: Vec<VecDeque<usize>>,
    /// Work done for each, and turns had.
    done: Vec<usize>,
    turns: Vec<usize>,
}

impl Clients {
    fn new(count: u32) -> Self {
        let mut fair = Fair::new(QUANTUM);
        (0..count).for_each(|place| fair.open(place));
        let count = count as usize;
        Self { fair, queues: vec![VecDeque::new(); count], done: vec![0; count], turns: vec![0; count] }
    }

    /// Begins what may begin, as a session does; returns the work that was done.
    fn proceed(&mut self, place: u32) -> usize {
        let at = place as usize;
        let mut allowance = self.fair.allowance(place);
        let mut work = 0;
        while let Some(cost) = self.queues[at].front().copied() {
            if !allowance.has() {
                break;
            }
            self.queues[at].pop_front();
            allowance.spend(cost);
            work += cost;
        }
        self.fair.settle(place, allowance);
        self.done[at] += work;
        work
    }

    fn send(&mut self, place: u32, costs: impl IntoIterator<Item = usize>) {
        self.queues[place as usize].extend(costs);
        self.fair.heard(place);
        self.proceed(place);
    }

    /// One turn of whoever is next.
    fn turn(&mut self) -> Option<(u32, usize)> {
        let place = self.fair.next()?;
        self.turns[place as usize] += 1;
        Some((place, self.proceed(place)))
    }

    fn waits(&self, place: u32) -> bool {
        self.fair.ring.contains(&place)
    }
}

#[test]
fn who_asks_for_little_is_served_at_once_beside_a_greedy_one() {
    let mut clients = Clients::new(2);
    clients.send(0, vec![1; 1_000_000]);
    for _ in 0..1000 {
        clients.turn().unwrap();
        let before = clients.done[0];
        clients.send(1, [10]);
        assert!(clients.queues[1].is_empty(), "it waits for nobody");
        assert_eq!(clients.done[0], before);
    }
    assert_eq!(clients.done[0], QUANTUM * 1001);
}

#[test]
fn a_large_request_is_paid_for_and_no_more_than_it_may_cost() {
    let mut clients = Clients::new(2);
    clients.send(0, [5 * QUANTUM, 1, 1_000_000 * QUANTUM, 1]);
    clients.send(1, vec![QUANTUM; 100]);
    let mut turns_of_one_before = Vec::new();
    while !clients.queues[0].is_empty() {
        let (place, work) = clients.turn().unwrap();
        if place == 0 && work > 0 {
            turns_of_one_before.push(clients.turns[1]);
        }
    }
    // Four quanta were owed, then eight and the one to begin with: so many turns the other had alone.
    assert_eq!(turns_of_one_before, [4, 4 + 9]);
}

#[test]
fn debts_are_not_waited_for_when_nobody_else_waits() {
    let mut clients = Clients::new(3);
    clients.send(0, [8 * QUANTUM, 1]);
    clients.send(1, [9 * QUANTUM, 1]);
    let mut served = Vec::new();
    while let Some((place, work)) = clients.turn() {
        served.push((place, work));
    }
    assert_eq!(served, [(0, 1), (1, 1)], "the one that owes less comes first, and no turn is empty");
    clients.send(2, [1]);
    clients.fair.close(2);
    clients.fair.open(2);
    assert_eq!(clients.fair.waiting(), 0);
}

proptest! {
    /// In any history: who waits has its turn after at most one turn of each other, and nobody does more in a turn than a quantum
    /// and the end of one request.
    #[test]
    fn every_turn_comes_within_one_of_each_other(
        steps in prop::collection::vec((0u32..5, prop::collection::vec(1usize..60, 0..40)), 1..200),
    ) {
        let mut clients = Clients::new(5);
        let mut others: Vec<Vec<usize>> = vec![vec![0; 5]; 5];
        for (place, costs) in steps {
            clients.send(place, costs);
            for _ in 0..2 {
                let waiting: Vec<u32> = (0..5).filter(|place| clients.waits(*place)).collect();
                let Some((served, work)) = clients.turn() else {
                    prop_assert!(waiting.is_empty(), "somebody waits and nobody is served");
                    break;
                };
                prop_assert!(work <= QUANTUM + 60);
                for place in &waiting {
                    others[*place as usize][served as usize] += 1;
                    prop_assert!(*place == served || others[*place as usize][served as usize] <= 1, "{} before {}", served, place);
                }
                others[served as usize] = vec![0; 5];
            }
        }
        // Work is conserved: when nobody sends any more, all of it is done, and each turn does some of it.
        while let Some((_, work)) = clients.turn() {
            prop_assert!(work > 0);
        }
        prop_assert!(clients.queues.iter().all(VecDeque::is_empty));
    }

    /// Those that always have work do as much as each other, whatever their requests cost.
    #[test]
    fn shares_are_even(costs in prop::collection::vec(1usize..400, 2..6)) {
        let count = u32::try_from(costs.len()).unwrap();
        let mut clients = Clients::new(count);
        for (place, cost) in (0..count).zip(&costs) {
            clients.send(place, vec![*cost; 100_000 / cost + 1]);
        }
        for _ in 0..200 * count {
            clients.turn().unwrap();
        }
        let (least, most) = (clients.done.iter().min().unwrap(), clients.done.iter().max().unwrap());
        // The first turn is had on arrival, and the last request may cross the quantum.
        prop_assert!(most - least <= 2 * (QUANTUM + 400), "{:?}", clients.done);
    }
}
