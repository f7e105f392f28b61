//! The first exchange: versions, limits, and what became of the incarnation that the client knew.

use super::{Facts, Life, Session, World};
use crate::convert::horizon_out;
use domains::Horizon;
use segments::Incarnation;
use wire::codes;
use wire::{ConnectionLimits, Cut, FEATURE_STAGES, FEATURES, Frame, Hello, Kind, Known, VERSION, Welcome};

/// Bytes of a client's name and version that are remembered.
const CLIENT_BYTES_MAX: usize = 64;

impl Session {
    /// Answers the first frame.
    pub(super) fn greet(&mut self, frame: &Frame<'_>, world: &mut World<'_>) {
        let id = frame.header.id;
        if Kind::from_u8(frame.header.kind) != Some(Kind::Hello) || frame.header.flags != 0 {
            self.fail(id, codes::HELLO_EXPECTED, world.horizon);
            return;
        }
        let Ok(hello) = frame.hello() else {
            self.fail(id, codes::MALFORMED, world.horizon);
            return;
        };
        if hello.version_min > VERSION || hello.version_max < VERSION {
            self.fail(id, codes::NO_COMMON_VERSION, world.horizon);
            return;
        }
        self.in_order = hello.in_order;
        self.features = hello.features & FEATURES;
        self.client = name(&hello);
        self.life = Life::Open;
        let welcome = welcome(world.facts, world.horizon, &hello);
        self.writer.welcome(id, &welcome).expect("a welcome is small");
    }
}

fn welcome(facts: &Facts, horizon: Horizon, hello: &Hello<'_>) -> Welcome<'static> {
    let limits = &facts.limits;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let stages = if facts.capabilities.writes_out { 0 } else { FEATURE_STAGES };
    Welcome {
        version: VERSION,
        features: hello.features & FEATURES & !stages,
        limits: ConnectionLimits {
            request_frame_bytes: limits.request_frame_bytes_max,
            reply_frame_bytes: limits.reply_frame_bytes_max,
            batch_ops: number(wire::limits::BATCH_OPS_MAX.min(limits.ops_in_flight_max)),
            ops_in_flight: number(limits.ops_in_flight_max),
            transactions: number(limits.transactions_max),
            transaction_idle_ms: u32::try_from(limits.transaction_idle.as_millis()).unwrap_or(u32::MAX),
        },
        server_version: env!("CARGO_PKG_VERSION"),
        server_id: facts.server_id,
        domain: facts.capabilities.name,
        abortable: facts.capabilities.abortable,
        persistence: facts.capabilities.persistence,
        horizon: horizon_out(horizon),
        cut: cut(facts, horizon, hello.known),
    }
}

fn cut(facts: &Facts, horizon: Horizon, known: Option<Known>) -> Cut {
    let Some(known) = known else { return Cut::NotAsked };
    if known.server_id != facts.server_id {
        return Cut::Unknown;
    }
    let incarnation = Incarnation(known.incarnation);
    if incarnation == horizon.incarnation {
        return Cut::Running;
    }
    facts.cuts.cut_of(incarnation).map_or(Cut::Unknown, |cut| Cut::At(cut.0))
}

/// The client's name and version, without what would disturb a terminal or a log.
fn name(hello: &Hello<'_>) -> String {
    let whole = format!("{} {}", hello.client_name, hello.client_version);
    let mut name = String::new();
    for letter in whole.chars().filter(|letter| !letter.is_control()) {
        if name.len() + letter.len_utf8() > CLIENT_BYTES_MAX {
            break;
        }
        name.push(letter);
    }
    name
}
