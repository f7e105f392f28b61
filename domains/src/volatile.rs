//! The volatile domain: the same tables and transactions over memory alone. Nothing is ever persistent; an open is empty.

use crate::config::Config;
use crate::engine::Engine;
use crate::engine::catalog::Catalog;
use crate::engine::core::{Core, VOLATILE_INCARNATION};
use crate::engine::records::PageIdentity;
use crate::error::Error;
use crate::index::HashConfig;
use crate::schema::TableHome;
use segments::segment::Geometry;

/// An empty volatile domain. `hash_key` keys its fingerprints; the edge draws it.
///
/// # Errors
/// When a setting is out of its bounds.
pub fn open(config: &Config, hash_key: [u8; 16]) -> Result<Engine, Error> {
    config.check()?;
    let hash = HashConfig { key: hash_key, fingerprint_bits: config.fingerprint_bits };
    let mut catalog = Catalog::new(TableHome::Volatile, hash);
    catalog.narrow();
    let identity = PageIdentity { domain_mark: 0, salt: 0, geometry: Geometry::new(config.segment_pages) };
    Ok(Engine::new(Core::new(config.clone(), hash, catalog, identity, VOLATILE_INCARNATION), None, None))
}
