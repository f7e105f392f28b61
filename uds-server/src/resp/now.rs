//! Commands on keys that are in memory: read, carried out and committed before the next command is looked at.
//!
//! Contract: as a script (`script`) does it, in one turn; whatever cannot be done at once is left to one, from the place it has come
//! to. Nobody comes between the look and the commit, so a compare fails only where the look and the commit see different things: then
//! the script begins anew.

use super::Session;
use super::begin::COMMAND_BYTES;
use super::command::{Call, Does, Spec};
use super::connection::Connection;
use super::fault::Fault;
use super::parser::Request;
use super::script::{COMMIT, Script};
use super::slots::{Class, Machine};
use super::task::{Step, Task};
use super::view::View;
use super::writer::Writer;
use crate::budget::Kind;
use crate::session::World;
use crate::transactions::memory_of;
use domains::{Answer, Level, Op, Seen};
use segments::TableId;
use txn::CommitSet;

/// Keys of a command that is carried out so: more are better read together.
const KEYS_MAX: usize = 16;
/// Bytes of their values: more cost so much that a script's own cost does not show.
const VALUES_BYTES_MAX: usize = 64 << 10;

impl Session {
    /// Carries a command out, if that can be done at once; `false` when nothing was done.
    pub(super) fn carry_out(
        &mut self,
        spec: &'static Spec,
        call: &Call<'_>,
        table: TableId,
        world: &mut World<'_>,
    ) -> bool {
        let (Does::Read(run, _) | Does::Write(run, _)) = spec.does else { return false };
        let keys = spec.keys(call.args);
        if !self.slots.is_quiet() || keys.len() > KEYS_MAX {
            return false;
        }
        let Some(mut view) = look(&keys, table, world) else { return false };
        keys.iter().for_each(|key| world.shared.counters.looked(view.get(key).is_some()));
        let mut reply = Writer::new(self.connection.dialect);
        let done = run(call, &mut view, &mut reply).and_then(|()| {
            let limit = world.facts.limits.reply_frame_bytes_max as usize;
            if reply.len() > limit {
                return Err(Fault::TooMuch { limit });
            }
            let mut set = CommitSet::new();
            if view.is_changed() {
                view.add_to(&mut set, table)?;
            }
            let bytes = 2 * memory_of(&set);
            let has = world.memory.raise(Kind::Request, bytes) && self.has_reply(reply.len(), world);
            if has { Ok((set, bytes)) } else { Err(Fault::Memory) }
        });
        match done {
            Err(fault) => self.say_fault(&fault, world),
            Ok((set, _)) if set.is_empty() => self.say(|out| out.append(&reply)),
            Ok((set, bytes)) => {
                self.commit_now((spec, call), (table, set, bytes), reply, world);
            }
        }
        true
    }

    /// Commits what a command has changed; its script takes over when that takes longer.
    fn commit_now(
        &mut self,
        (spec, call): (&'static Spec, &Call<'_>),
        (table, set, bytes): (TableId, CommitSet, usize),
        reply: Writer,
        world: &mut World<'_>,
    ) {
        let sequence = self.slots.begin(Class::Alone, (1, COMMAND_BYTES + call.args.bytes()));
        let answer = world.direct.ask(Some((sequence, COMMIT)), Op::Commit { set, level: Level::Committed });
        let script = |connection: &Connection| -> Task {
            let command = (spec, Request::new(call.args));
            Box::new(Script::begun(command, connection, (table, bytes), world.now))
        };
        match answer {
            Some(Ok(Answer::Committed(committed))) => match Step::after(&committed, self.connection.level) {
                Step::Committed(epoch) => self.slots.hold(sequence, reply, epoch),
                Step::Done | Step::Wait => self.settle(sequence, |out| out.append(&reply)),
            },
            Some(result) => {
                let task = script(&self.connection);
                self.step_after(sequence, (task, reply), false, world, |task, context, reply| {
                    task.answered(COMMIT, &result, context, reply)
                });
                self.flush();
            }
            None => {
                let task = script(&self.connection);
                self.slots.put_back(sequence, Machine::Task { task, reply });
            }
        }
    }
}

/// The keys as memory shows them, if it shows all, they are small, and there is memory for them.
fn look(keys: &[&[u8]], table: TableId, world: &mut World<'_>) -> Option<View> {
    let (mut view, mut bytes) = (View::default(), 0);
    for key in keys {
        let shown = world.direct.look(table, key, &mut |pair| {
            bytes += pair.map_or(0, |pair| pair.value.len());
            if bytes <= VALUES_BYTES_MAX {
                view.see(key, pair);
            }
        });
        if shown != Ok(Seen::Ready) || bytes > VALUES_BYTES_MAX {
            return None;
        }
    }
    world.memory.raise(Kind::Request, bytes).then_some(view)
}
