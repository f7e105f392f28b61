//! The backends that the tests run on.

use lostore::Store;
use lostore::mock::MapBackend;

/// A store in a map.
pub(crate) fn map() -> Store<MapBackend> {
    lostore::mock::doc_store()
}
