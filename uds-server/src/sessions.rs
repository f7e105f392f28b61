//! All connections: who is who, and whose answer an answer is.
//!
//! Contract: an operation's number names one operation in flight; its answer goes to the connection that asked, or to nobody
//! when that connection has ended. A place is taken again under a new generation, so an answer never reaches a successor. What a
//! connection asks reaches the domain only through the [`gate`](crate::gate); what is refused there is answered as the domain would.

use crate::acl::{Caller, Rules};
use crate::budget::{Account, Budget, Kind, NoPlace};
use crate::calls::Ticket;
use crate::fair::Fair;
use crate::gate::{Gate, Guard, Standing};
use crate::limits::Limits;
use crate::metrics::{Metrics, Verb, verb};
use crate::peer::Peer;
use crate::resp::shared::Shared;
use crate::session::{Direct, Facts, World};
use domains::{Answer, Asker, Error, Horizon, Op, PairRef, Seen, Tick};
use segments::TableId;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Names a connection: its place, and how often the place was taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Connection {
    pub(crate) place: u32,
    pub(crate) generation: u32,
}

/// What the connections are told at each call, and where the operations go that they ask for.
pub(crate) struct Round<'a> {
    pub(crate) now: Tick,
    pub(crate) horizon: Horizon,
    pub(crate) direct: &'a mut dyn Direct<u64>,
    pub(crate) asked: &'a mut Vec<(u64, Op)>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    session: Option<Peer>,
    standing: Standing,
    /// Bytes of the buffer that is lent to receive in.
    lent: usize,
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
struct Route {
    connection: Connection,
    ticket: Ticket,
    /// It gives a table another name, or destroys one.
    renames: bool,
    /// It destroys one.
    destroys: bool,
    verb: Verb,
    /// When it was asked, in nanoseconds.
    since: u64,
}

/// The operations in the domain's hands, by number: the upper half says whose it is, the lower half which.
#[derive(Debug, Default)]
struct Routes {
    routes: Vec<Option<Route>>,
    free: Vec<u32>,
}

impl Routes {
    fn insert(&mut self, route: Route) -> u64 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.routes.push(None);
            u32::try_from(self.routes.len() - 1).expect("credits bound the operations in flight")
        });
        assert!(self.routes[at as usize].is_none(), "number {at} was free");
        let place = u64::from(route.connection.place) + 1;
        self.routes[at as usize] = Some(route);
        place << u32::BITS | u64::from(at)
    }

    fn take(&mut self, op: u64) -> Route {
        let at = u32::try_from(op & u64::from(u32::MAX)).expect("32 bits");
        let route = self.routes[at as usize].take();
        self.free.push(at);
        route.unwrap_or_else(|| unreachable!("operation {op} is answered once"))
    }
}

/// What one connection asks of the domain within a call, numbered and counted.
struct Asking<'a> {
    direct: &'a mut dyn Direct<u64>,
    routes: &'a mut Routes,
    metrics: &'a RefCell<Metrics>,
    guard: Guard<'a>,
    connection: Connection,
    now: Tick,
}

impl Direct<Ticket> for Asking<'_> {
    fn look(&mut self, table: TableId, key: &[u8], see: &mut dyn FnMut(Option<PairRef<'_>>)) -> Result<Seen, Error> {
        self.guard.read(table)?;
        let seen = self.direct.look(table, key, see);
        self.metrics.borrow_mut().at_once += u64::from(matches!(seen, Ok(Seen::Ready)));
        seen
    }

    fn ask(&mut self, ticket: Ticket, op: Op) -> Option<Result<Answer, Error>> {
        if let Err(error) = self.guard.check(&op) {
            self.metrics.borrow_mut().denied += 1;
            return Some(Err(error));
        }
        let route = Route::new(self.connection, ticket, &op, self.now);
        assert!(!route.renames, "names are forgotten when the answer comes later");
        let id = self.routes.insert(route);
        let answer = self.direct.ask(id, op)?;
        self.routes.take(id);
        self.metrics.borrow_mut().answered(route.verb, route.since, &answer, self.now);
        Some(answer)
    }
}

impl Route {
    fn new(connection: Connection, ticket: Ticket, op: &Op, now: Tick) -> Self {
        let destroys = matches!(op, Op::DestroyTable { .. });
        let renames = destroys || matches!(op, Op::RenameTable { .. });
        Self { connection, ticket, renames, destroys, verb: verb(op), since: now.nanos }
    }
}

/// The connections of a server.
#[derive(Debug)]
pub(crate) struct Sessions {
    facts: Facts,
    places: Vec<Place>,
    free: Vec<u32>,
    routes: Routes,
    asked: Vec<(Ticket, Op)>,
    shared: Shared,
    budget: Budget,
    fair: Fair,
    metrics: RefCell<Metrics>,
    gate: Gate,
    /// What the gate refused and the sessions have not been told.
    denied: VecDeque<(Ticket, Error)>,
    listing: Listing,
    /// How many there were.
    opened: u64,
}

/// Whether the domain is asked what tables there are, for the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listing {
    No,
    Asked,
    /// What is on its way may be out of date already.
    AskedAndAgain,
}

/// The number of the listing that is asked for the gate: nobody's.
const LISTING: u64 = 0;

/// Who asks the operation of this number.
pub(crate) fn asker(op: u64) -> Asker {
    match op >> u32::BITS {
        0 => Asker::Nobody,
        place => Asker::Connection(place),
    }
}

/// Who a connection is to the domain. A successor in its place is the same, so the domain is told when it is gone.
pub(crate) fn asker_of(connection: Connection) -> Asker {
    Asker::Connection(u64::from(connection.place) + 1)
}

impl Sessions {
    /// Those of a server with these facts, whose limits are [`Limits::fitted`] to its memory here.
    pub(crate) fn new(mut facts: Facts, gate: Gate) -> Self {
        facts.limits = facts.limits.fitted();
        let limits = &facts.limits;
        let enough = |bytes, connections| bytes >= Limits::memory_bytes_min(connections);
        assert!(enough(limits.memory_bytes, limits.connections_max), "all connections have a share of the memory");
        assert!(enough(limits.memory_user_bytes, limits.connections_user_max), "so have all of one user");
        assert!(limits.ops_in_flight_max >= 1, "a connection needs at least one credit");
        assert!(limits.unsent_bytes_max <= limits.unsent_bytes_hard, "nothing new is begun before reads are refused");
        let (places, free, routes) = (Vec::new(), Vec::new(), Routes::default());
        let (budget, fair, shared) = (Budget::new(limits), Fair::new(limits.turn_work), Shared::default());
        let (asked, metrics) = (Vec::new(), RefCell::new(Metrics::default()));
        let (denied, listing) = (VecDeque::new(), Listing::No);
        Self { facts, places, free, routes, asked, shared, budget, fair, metrics, gate, denied, listing, opened: 0 }
    }

    /// Asks the domain what tables there are: at the start, and when one is gone.
    pub(crate) fn list_tables(&mut self, asked: &mut Vec<(u64, Op)>) {
        self.listing = match self.listing {
            Listing::No => {
                asked.push((LISTING, Op::ListTables));
                Listing::Asked
            }
            Listing::Asked | Listing::AskedAndAgain => Listing::AskedAndAgain,
        };
    }

    fn listed(&mut self, result: &Result<Answer, Error>, asked: &mut Vec<(u64, Op)>) {
        if let Ok(Answer::Tables(tables)) = result {
            self.gate.learn_all(tables);
        }
        let again = std::mem::replace(&mut self.listing, Listing::No) == Listing::AskedAndAgain;
        if again {
            self.list_tables(asked);
        }
    }

    /// Other rules hold from now on, for those who are connected too.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.gate.set_rules(rules);
    }

    /// How a caller stands; nothing when it is not to be served.
    pub(crate) fn admit(&self, caller: Caller) -> Option<Standing> {
        self.gate.admit(caller)
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Operations in the domain's hands.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.routes.routes.len() - self.routes.free.len()
    }

    /// How the memory of all connections stands.
    #[cfg(test)]
    pub(crate) fn figures(&self) -> domains::Connections {
        self.budget.figures()
    }

    /// A connection was made by this user; whether it may be served. One that may not is to be told so.
    pub(crate) fn open(&mut self, standing: Standing, now: Tick) -> (Connection, Result<(), NoPlace>) {
        let connection = self.open_place(now);
        let user = standing.uid();
        self.places[connection.place as usize].standing = standing;
        (connection, self.budget.open(connection.place, user))
    }

    /// A connection was made that is not to be served, but told why.
    pub(crate) fn open_place(&mut self, now: Tick) -> Connection {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, session: None, standing: Standing::nobody(), lent: 0 });
            u32::try_from(self.places.len() - 1).expect("the limit on connections is far lower")
        });
        self.opened += 1;
        self.fair.open(place);
        self.shared.begin(now);
        let session = Peer::new(self.opened, now);
        let at = &mut self.places[place as usize];
        assert!(at.session.is_none(), "place {place} was free");
        at.generation = at.generation.wrapping_add(1);
        (at.session, at.lent, at.standing) = (Some(session), 0, Standing::nobody());
        Connection { place, generation: at.generation }
    }

    /// A connection is gone, and everything of it but what the domain is doing for it.
    pub(crate) fn close(&mut self, connection: Connection) {
        let session = self.get_mut(connection).is_some();
        assert!(session, "{connection:?} is closed once");
        let session = self.places[connection.place as usize].session.take();
        if let Some(id) = session.and_then(|session| session.text_id()) {
            self.shared.ended(id);
        }
        self.free.push(connection.place);
        self.fair.close(connection.place);
        self.budget.close(connection.place);
    }

    /// Lends the connection a buffer to receive in, of so many bytes more than the page that it has in any case, if there is memory.
    pub(crate) fn lend(&mut self, connection: Connection, bytes: usize) -> bool {
        assert_eq!(self.places[connection.place as usize].lent, 0, "one receive at a time");
        let lent = self.budget.raise(connection.place, Kind::Request, bytes);
        if lent {
            self.places[connection.place as usize].lent = bytes;
        }
        lent
    }

    /// The buffer is back. What came in it is the session's, which says so when it has it.
    pub(crate) fn repay(&mut self, connection: Connection) {
        self.places[connection.place as usize].lent = 0;
    }

    /// Refuses memory to those who have waited too long; says when the next one will have.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<Tick> {
        self.budget.expire(now)
    }

    /// A connection whose wait for memory has ended, and that must be called.
    pub(crate) fn woken(&mut self) -> Option<Connection> {
        loop {
            let place = self.budget.woken()?;
            if let Some(connection) = self.at(place) {
                return Some(connection);
            }
        }
    }

    /// The connection, unless it is gone.
    pub(crate) fn get_mut(&mut self, connection: Connection) -> Option<&mut Peer> {
        let place = self.places.get_mut(connection.place as usize)?;
        if place.generation == connection.generation { place.session.as_mut() } else { None }
    }

    /// The connection in a place.
    pub(crate) fn at(&self, place: u32) -> Option<Connection> {
        let at = self.places.get(place as usize)?;
        at.session.as_ref().map(|_| Connection { place, generation: at.generation })
    }

    /// Tells a connection that it is not served, and why.
    pub(crate) fn refuse(&mut self, connection: Connection, code: u16, horizon: Horizon) {
        let place = &mut self.places[connection.place as usize];
        let session = place.session.as_mut().filter(|_| place.generation == connection.generation);
        session.expect("it was opened just now").refuse_connection(code, &self.facts, horizon);
    }

    /// All connections.
    pub(crate) fn all(&self) -> Vec<Connection> {
        (0..self.places.len()).filter_map(|place| self.at(u32::try_from(place).ok()?)).collect()
    }

    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.fair.waiting()
    }

    /// The turn of the connection that waits first; says whose it was.
    pub(crate) fn next_turn(&mut self, round: &mut Round<'_>) -> Option<Connection> {
        let place = self.fair.next()?;
        let connection = self.at(place).expect("who is gone waits for nothing");
        self.with(connection, round, Peer::go_on);
        Some(connection)
    }

    /// The places of those that are to be called when the horizon has moved.
    pub(crate) fn watchers(&self) -> impl Iterator<Item = u32> {
        let watches = |place: &Place| place.session.as_ref().is_some_and(Peer::watches_horizon);
        (0..).zip(&self.places).filter(move |(_, place)| watches(place)).map(|(at, _)| at)
    }

    /// Whether commands were sent that somebody is to be shown.
    pub(crate) fn has_news(&self) -> bool {
        self.shared.feed.has_news()
    }

    /// The places of those who are shown them, to be called.
    pub(crate) fn readers(&mut self) -> Vec<u32> {
        if !self.has_news() {
            return Vec::new();
        }
        self.shared.feed.told();
        let watches = |place: &Place| place.session.as_ref().is_some_and(Peer::watches_commands);
        (0..).zip(&self.places).filter(|(_, place)| watches(place)).map(|(at, _)| at).collect()
    }

    /// Bytes have come.
    pub(crate) fn receive(&mut self, connection: Connection, bytes: &[u8], round: &mut Round<'_>) {
        self.fair.heard(connection.place);
        self.with(connection, round, |session, world| session.receive(bytes, world));
    }

    /// Bytes have gone.
    pub(crate) fn sent(&mut self, connection: Connection, round: &mut Round<'_>) {
        self.with(connection, round, Peer::sent);
    }

    /// Time has passed, or the horizon has moved. Says when to call again, by the clock alone.
    pub(crate) fn turn(&mut self, connection: Connection, round: &mut Round<'_>) -> Option<Tick> {
        self.with(connection, round, Peer::turn).flatten()
    }

    /// The domain has answered; returns the connection it was for, when that is still there.
    pub(crate) fn answered(
        &mut self,
        op: u64,
        result: &Result<Answer, Error>,
        round: &mut Round<'_>,
    ) -> Option<Connection> {
        if op == LISTING {
            self.listed(result, round.asked);
            return None;
        }
        let Route { connection, ticket, renames, destroys, verb, since } = self.routes.take(op);
        self.metrics.get_mut().answered(verb, since, result, round.now);
        if renames {
            self.shared.forget_names();
        }
        match result {
            Ok(Answer::Table(info)) => self.gate.learn(info),
            Ok(_) if destroys => self.list_tables(round.asked),
            Ok(_) | Err(_) => {}
        }
        let shown = result.as_ref().ok().and_then(|answer| self.shown(connection, answer)).map(Ok);
        let result = shown.as_ref().unwrap_or(result);
        self.with(connection, round, |session, world| session.answered(ticket, result, world)).map(|()| connection)
    }

    /// An answer as the connection may see it, where that is less than it is.
    fn shown(&mut self, connection: Connection, answer: &Answer) -> Option<Answer> {
        let place = self.places.get_mut(connection.place as usize)?;
        if place.generation != connection.generation {
            return None;
        }
        self.gate.refresh(&mut place.standing);
        Guard::new(&self.gate, &place.standing).shown(answer)
    }

    /// Calls a session, and again for each thing it asked that the gate refused.
    fn with<R>(
        &mut self,
        connection: Connection,
        round: &mut Round<'_>,
        call: impl FnOnce(&mut Peer, &mut World<'_>) -> R,
    ) -> Option<R> {
        let result = self.call(connection, round, call)?;
        while let Some((ticket, error)) = self.denied.pop_front() {
            self.metrics.get_mut().denied += 1;
            let told = self.call(connection, round, |session, world| session.answered(ticket, &Err(error), world));
            assert!(told.is_some(), "a connection does not end while it is called");
        }
        Some(result)
    }

    /// Calls a session and gives what it asks a number.
    fn call<R>(
        &mut self,
        connection: Connection,
        round: &mut Round<'_>,
        call: impl FnOnce(&mut Peer, &mut World<'_>) -> R,
    ) -> Option<R> {
        self.shared.clients = self.len();
        let place = self.places.get_mut(connection.place as usize)?;
        let session = place.session.as_mut().filter(|_| place.generation == connection.generation)?;
        let (now, horizon) = (round.now, round.horizon);
        let (facts, shared, asked) = (&self.facts, &mut self.shared, &mut self.asked);
        self.gate.refresh(&mut place.standing);
        let guard = Guard::new(&self.gate, &place.standing);
        self.metrics.get_mut().persistent(horizon, now);
        let (metrics, routes, allowance) = (&self.metrics, &mut self.routes, self.fair.allowance(connection.place));
        let mut direct = Asking { direct: &mut *round.direct, routes, metrics, guard, connection, now };
        let memory = Account::new(&mut self.budget, connection.place, place.lent);
        let direct = &mut direct;
        let mut world = World { facts, now, horizon, shared, memory, metrics, guard, allowance, direct, asked };
        let unsent = session.unsent();
        let result = call(session, &mut world);
        let mut allowance = world.allowance;
        allowance.spend(session.unsent().saturating_sub(unsent));
        self.fair.settle(connection.place, allowance);
        world.memory.settle(session.held(), session.waits_for_memory());
        for (ticket, op) in self.asked.drain(..) {
            if let Err(error) = guard.check(&op) {
                // What nobody waits for is not done, and nobody is told.
                self.denied.extend(ticket.map(|ticket| (Some(ticket), error)));
                continue;
            }
            round.asked.push((self.routes.insert(Route::new(connection, ticket, &op, now)), op));
        }
        Some(result)
    }
}

#[cfg(test)]
mod tests;
