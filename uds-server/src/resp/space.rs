//! `LS.SPACE`: what takes how much, of the device and of memory.

use super::writer::Writer;
use domains::schema::TableHome;
use domains::{Status, TableStatus};
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

fn integer(figure: u64, reply: &mut Writer) {
    reply.integer(i64::try_from(figure).unwrap_or(i64::MAX));
}
