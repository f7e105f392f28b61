//! Revertible writes as the oracle knows them: what each can be reverted to.
//!
//! A write is listed when it was answered and what was there before it is certain: no commit without an answer names its key. So
//! a revert or a seal has one effect only, whatever else is under way, since it holds at the token's version alone.

use super::commit::{Content, Effect, Key};
use segments::Version;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a revertible write changed.
#[derive(Clone, Debug)]
struct Written {
    before: Option<Rc<Content>>,
    content: Rc<Content>,
}

/// All of them, by key and token.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(BTreeMap<(Key, Version), Written>);

impl Tokens {
    pub(super) fn add(&mut self, key: Key, token: Version, before: Option<Rc<Content>>, content: Rc<Content>) {
        self.0.insert((key, token), Written { before, content });
    }

    /// Whether the version is a token of this key.
    pub(super) fn has(&self, key: &Key, version: Version) -> bool {
        self.0.contains_key(&(key.clone(), version))
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Key, Version) -> bool) {
        self.0.retain(|(key, version), _| keep(key, *version));
    }

    /// What a revert makes of the key.
    pub(super) fn reverted(&self, key: &Key, token: Version) -> Effect {
        self.written(key, token).before.clone().map_or(Effect::Delete, Effect::Put)
    }

    /// What a seal makes of the key.
    pub(super) fn sealed(&self, key: &Key, token: Version) -> Effect {
        Effect::Put(Rc::clone(&self.written(key, token).content))
    }

    fn written(&self, key: &Key, token: Version) -> &Written {
        self.0.get(&(key.clone(), token)).expect("the workload reverts and seals what the oracle lists")
    }
}
