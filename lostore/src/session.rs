//! What all handles of one store share: the backend, the tables that were opened as a type, the sack addresses set aside.
//!
//! Contract: handles may be used from several threads where the backend may. A lock is held for a lookup in a small map only,
//! never while an operation is under way. Reads and writes of records take no lock here.

use crate::limits::TABLES_REMEMBERED_MAX;
use domains::TableInfo;
use segments::TableId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The addresses of one sack that are set aside and not given out yet.
type Addresses = Vec<[u8; 8]>;
/// The Rust type that a table was opened as.
type TypeName = &'static str;

pub(crate) struct Session<B> {
    pub(crate) backend: B,
    tables: Mutex<BTreeMap<(TypeName, String), Arc<TableInfo>>>,
    addresses: Mutex<BTreeMap<TableId, Addresses>>,
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

    /// An address of the sack that nobody else has or will get.
    pub(crate) fn take_address(&self, table: TableId) -> Option<[u8; 8]> {
        held(&self.addresses).get_mut(&table).and_then(Vec::pop)
    }

    pub(crate) fn keep_addresses(&self, table: TableId, more: Addresses) {
        held(&self.addresses).entry(table).or_default().extend(more);
    }
}

fn held<V>(lock: &Mutex<V>) -> MutexGuard<'_, V> {
    lock.lock().expect("nothing panics while it holds these locks")
}
