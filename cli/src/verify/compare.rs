//! The recovered engine against the pairs of the log.
//!
//! Contract: every pair that an index leads to must be the log's last of its key, with the same version and bytes, and every
//! pair of the log must be found. The engine runs in memory on the store's bytes; nothing is written.

use super::pairs::{Live, Pairs};
use super::{Finding, Report};
use crate::failure::Failure;
use crate::offline::Overlay;
use crate::progress;
use crate::words;
use domains::Engine;
use domains::schema::TableHome;
use lostore::{Inline, Pair, RawTable, Store, TableInfo};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The recovered engine as a store, on the bytes and in memory.
pub(super) type Offline = Inline<Engine, Overlay>;

/// Compares, when there is an engine to compare with.
pub(super) fn compare(
    engine: Option<Engine>,
    overlay: Overlay,
    mut pairs: Pairs,
    report: &mut Report,
) -> Result<Option<Store<Offline>>, Failure> {
    let tables = pairs.tables();
    let Some(engine) = engine else {
        report.notes.push("without recovery the indexes cannot be compared with the records".to_owned());
        return Ok(None);
    };
    let store: Store<Offline> = Store::new(Inline::new(engine, overlay));
    let infos = store.tables()?;
    for id in tables.keys().filter(|id| !infos.iter().any(|info| info.id == **id)) {
        let what = format!("table '{}' is in the log and not in the recovered catalog", tables[id].0);
        report.find(Finding { kind: "catalog", segment: None, page: None, tables: vec![*id], what });
    }
    for info in &infos {
        if !tables.contains_key(&info.id) {
            let what = format!("table '{}' is in the recovered catalog and not in the log", info.name);
            report.find(Finding { kind: "catalog", segment: None, page: None, tables: vec![info.id], what });
        }
        if info.spec.home == TableHome::Persistent {
            report.tables += 1;
            table(&store, info, pairs.take_table(info.id), report)?;
        }
    }
    Ok(Some(store))
}

fn table(
    store: &Store<Offline>,
    info: &TableInfo,
    mut live: HashMap<Box<[u8]>, Live>,
    report: &mut Report,
) -> Result<(), Failure> {
    let table = store.open_raw(&info.name)?;
    let bar = progress::bar(live.len() as u64, "indexes");
    let mut broken = None;
    for pair in table.iter() {
        bar.inc(1);
        match pair {
            Ok(pair) => one(info, &pair, live.remove(&*pair.key), report),
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    if broken.is_some() {
        // A batch with a damaged record ends the iteration: the rest is looked up, key by key.
        looked_up(&table, info, &mut live, report);
    }
    bar.finish_and_clear();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    for (key, left) in live {
        if left.expires_ms.is_some_and(|end| u128::from(end) <= now) {
            continue;
        }
        let what = format!("{} is in the log at version {} and not in the index", words::show(&key), left.version);
        let page = Some(left.place.page().0);
        report.find(Finding { kind: "index", segment: None, page, tables: vec![info.id], what });
    }
    Ok(())
}

fn looked_up(table: &RawTable<Offline>, info: &TableInfo, live: &mut HashMap<Box<[u8]>, Live>, report: &mut Report) {
    let keys: Vec<Box<[u8]>> = live.keys().cloned().collect();
    for key in keys {
        match table.get(&key) {
            Ok(Some(pair)) => one(info, &pair, live.remove(&key), report),
            Ok(None) => {}
            Err(error) => {
                let page = live.remove(&key).map(|left| left.place.page().0);
                let what = format!("{} cannot be read: {error}", words::show(&key));
                report.find(Finding { kind: "record", segment: None, page, tables: vec![info.id], what });
            }
        }
    }
}

/// One pair of the index against that of the log.
fn one(info: &TableInfo, pair: &Pair, live: Option<Live>, report: &mut Report) {
    report.pairs += 1;
    let what = match live {
        None => "is in the index and not in the log".to_owned(),
        Some(live) if live.version != pair.version => {
            format!("is at version {} in the index, at {} in the log", pair.version, live.version)
        }
        Some(live) if !live.has_value(&pair.value) => "has other bytes through the index than in the log".to_owned(),
        Some(_) => return,
    };
    let what = format!("{} {what}", words::show(&pair.key));
    report.find(Finding { kind: "index", segment: None, page: None, tables: vec![info.id], what });
}
