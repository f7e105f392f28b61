//! `LS.SPACE`: what takes how much, of the device and of memory; `LS.RECLAIM`: less.

use super::command::Call;
use super::connection::Connection;
use super::fault::Fault;
use super::task::{Context, Step, Stepped, Task, Work};
use super::writer::Writer;
use domains::schema::TableHome;
use domains::{Answer, Error, Op, Reclaimed, Status, TableStatus};
use segments::PAGE_BYTES;

/// Writes the figures.
pub(super) fn tell(status: &Status, reply: &mut Writer) {
    let page = PAGE_BYTES as u64;
    let of = |home: TableHome| status.tables.iter().filter(move |table| table.info.spec.home == home);
    let bytes = |home| of(home).map(|table| table.record_bytes).sum::<u64>();
    let figures = [
        ("device_bytes", status.device_pages * page),
        ("segments", status.segments.into()),
        ("segments_free", status.segments_free.into()),
        ("segments_log", status.space.log.segments.into()),
        ("segments_table", status.space.table.segments.into()),
        ("segments_checkpoint", status.space.checkpoint.segments.into()),
        ("segments_waiting", status.space.waiting.segments.into()),
        ("segments_aside", status.space.aside.into()),
        ("segments_freed", status.reclaim.segments_freed),
        ("log_bytes_written", status.log_pages * page),
        ("record_bytes_persistent", bytes(TableHome::Persistent)),
        ("record_bytes_volatile", bytes(TableHome::Volatile)),
        ("revertible_bytes", status.kept_bytes),
        ("index_bytes", status.tables.iter().map(|table| table.index_bytes).sum()),
        ("cache_bytes", status.cache_bytes),
    ];
    reply.map(figures.len() + 1);
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        integer(figure, reply);
    }
    reply.bulk(b"tables");
    let tables: Vec<&TableStatus> = status.tables.iter().filter(|table| !table.info.name.is_empty()).collect();
    reply.array(tables.len());
    for table in tables {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(table.info.name.as_bytes());
        for (name, figure) in
            [("pairs", table.pairs), ("record_bytes", table.record_bytes), ("index_bytes", table.index_bytes)]
        {
            reply.bulk(name.as_bytes());
            integer(figure, reply);
        }
    }
}

/// A pass of reclaim.
#[derive(Debug)]
struct Reclaim;

impl Work for Reclaim {
    fn start(&mut self, context: &mut Context<'_, '_>, _reply: &mut Writer) -> Stepped {
        context.ask(0, Op::Reclaim);
        Ok(Step::Wait)
    }

    fn answered(
        &mut self,
        _number: u32,
        result: &Result<Answer, Error>,
        _context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        match result {
            Ok(Answer::Reclaimed(done)) => tell_reclaimed(done, reply),
            Ok(other) => unreachable!("the domain was asked to reclaim, and the answer is {other:?}"),
            Err(error) => return Err(error.clone().into()),
        }
        Ok(Step::Done)
    }
}

/// `LS.RECLAIM`.
pub(crate) fn reclaim(_connection: &mut Connection, _call: &Call<'_>) -> Result<Task, Fault> {
    Ok(Box::new(Reclaim))
}

fn tell_reclaimed(done: &Reclaimed, reply: &mut Writer) {
    let figures = [
        ("segments", done.segments.into()),
        ("segments_freed", done.segments_freed),
        ("segments_waiting", done.segments_waiting.into()),
        ("records_moved", done.records_moved),
        ("bytes_moved", done.bytes_moved),
        ("records_expired", done.records_expired),
        ("batches_failed", done.batches_failed),
        ("checkpoints", done.checkpoints),
        ("checkpoints_failed", done.checkpoints_failed),
    ];
    reply.map(figures.len());
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        integer(figure, reply);
    }
}

fn integer(figure: u64, reply: &mut Writer) {
    reply.integer(i64::try_from(figure).unwrap_or(i64::MAX));
}
