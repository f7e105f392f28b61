//! What all handles of one store share: the backend, the tables that were opened as a type, the sack addresses set aside.
//!
//! Contract: handles may be used from several threads where the backend may. A lock is held for a lookup in a small map only,
//! never while an operation is under way. Reads and writes of records take no lock here.

use crate::limits::TABLES_REMEMBERED_MAX;
use domains::TableInfo;
use segments::{Incarnation, TableId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Addresses of one sack.
type Addresses = Vec<[u8; 8]>;

/// Those that are set aside and not given out yet. They are good in the incarnation that gave them, and gone with it.
#[derive(Default)]
struct Block {
    of: Incarnation,
    addresses: Addresses,
}

/// The Rust type that a table was opened as.
type TypeName = &'static str;

pub(crate) struct Session<B> {
    pub(crate) backend: B,
    tables: Mutex<BTreeMap<(TypeName, String), Arc<TableInfo>>>,
    addresses: Mutex<BTreeMap<TableId, Block>>,
}

impl<B> Session<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self { backend, tables: Mutex::default(), addresses: Mutex::default() }
    }

    /// The table that a pointer to this type leads to, as far as this program's own opening tells: the one of the type's `name`,
    /// else the only one that it opened as the type. It may have been renamed or destroyed since.
    pub(crate) fn pointed_table(&self, of: TypeName, name: &str) -> Option<Arc<TableInfo>> {
        let tables = held(&self.tables);
        let mut opened = tables.range((of, String::new())..).take_while(|((typed, _), _)| *typed == of);
        match (tables.get(&(of, name.to_owned())), opened.next(), opened.next()) {
            (Some(named), _, _) => Some(Arc::clone(named)),
            (None, Some((_, only)), None) => Some(Arc::clone(only)),
            (None, _, _) => None,
        }
    }

    pub(crate) fn remember_table(&self, of: TypeName, info: &Arc<TableInfo>) {
        let mut tables = held(&self.tables);
        if tables.len() >= TABLES_REMEMBERED_MAX {
            // Forgetting costs one round trip when the table is asked for again; which one goes does not matter.
            tables.pop_first();
        }
        tables.insert((of, info.name.clone()), Arc::clone(info));
    }

    pub(crate) fn forget_table(&self, name: &str) {
        held(&self.tables).retain(|(_, known), _| known != name);
    }

    /// An address of the sack that nobody else has or will get in this incarnation.
    pub(crate) fn take_address(&self, table: TableId, now: Incarnation) -> Option<[u8; 8]> {
        held(&self.addresses).get_mut(&table).filter(|block| block.of == now).and_then(|block| block.addresses.pop())
    }

    /// Keeps addresses that were set aside in this incarnation, or one after it.
    pub(crate) fn keep_addresses(&self, table: TableId, of: Incarnation, more: Addresses) {
        let mut blocks = held(&self.addresses);
        let block = blocks.entry(table).or_default();
        if block.of != of {
            *block = Block { of, addresses: Vec::new() };
        }
        block.addresses.extend(more);
    }
}

fn held<V>(lock: &Mutex<V>) -> MutexGuard<'_, V> {
    lock.lock().expect("nothing panics while it holds these locks")
}
