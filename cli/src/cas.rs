//! The verb cas: compare-and-swap of one pair or many.
//!
//! Contract: all compares hold and all is changed, or nothing is; then each pair that is not as expected is named with what is
//! there. It answers when the change is persistent, unless it was told not to wait.

use crate::args::{Cas, Target};
use crate::failure::{Failure, talk};
use crate::output::{Format, Output};
use crate::pairs::{Opened, expect_of, split};
use crate::reach::{AnyStore, reach};
use lostore::{Expect, New, Word};
use serde_json::{Value, json};

/// One pair as it was given.
struct Given {
    opened: Opened,
    name: String,
    key: Vec<u8>,
    expect: Expect,
    new: Change,
}

/// What it becomes.
enum Change {
    Keep,
    Delete,
    Put(Vec<u8>),
}

impl Given {
    fn word(&self) -> String {
        format!("{}/{}", self.name, self.opened.shape().key_to_word(&self.key))
    }
}

/// The pairs that the words name, three words each.
fn given(store: &AnyStore, args: &Cas) -> Result<Vec<Given>, Failure> {
    let triples = args.words.chunks_exact(3);
    if !triples.remainder().is_empty() {
        return Err(Failure::usage(
            format!("{} words are no whole number of pairs", args.words.len()),
            "give three words a pair: TABLE/KEY EXPECT NEW",
        ));
    }
    let mut given = Vec::new();
    for triple in triples {
        let (name, key) = split(&triple[0])?;
        let opened = Opened::open(store, name)?;
        let shape = opened.shape();
        let key = shape.key_from_word(key)?;
        let expect = if triple[1] == "any" { Expect::Any } else { expect_of(&triple[1])? };
        let new = match &*triple[2] {
            "keep:" => Change::Keep,
            "del:" => Change::Delete,
            record => Change::Put(shape.record_from_word(record)?),
        };
        let name = name.to_owned();
        given.push(Given { opened, name, key, expect, new });
    }
    Ok(given)
}

pub(crate) fn cas(target: &Target, args: &Cas, output: &mut Output) -> Result<(), Failure> {
    let store = reach(target)?;
    let given = given(&store, args)?;
    let words: Vec<_> = given
        .iter()
        .map(|given| {
            let new = match &given.new {
                Change::Keep => New::Keep,
                Change::Delete => New::Delete,
                Change::Put(record) => New::Put(record),
            };
            Word { table: &given.opened.table, key: &given.key, expect: given.expect, new }
        })
        .collect();
    let ticket = store.cas(&words).inspect_err(|error| {
        for failure in error.failures() {
            let word = usize::try_from(failure.part).ok().and_then(|part| given.get(part)).map(Given::word);
            let word = word.as_deref().unwrap_or("a pair");
            match failure.found {
                Some(version) => talk(&format!("{word} is there, at version {version}")),
                None => talk(&format!("{word} is not there")),
            }
        }
    })?;
    let (given_versions, epoch) = (ticket.versions().to_vec(), ticket.epoch());
    let persistent = store.capabilities().persistence && !args.no_wait;
    if persistent {
        drop(store.start_force());
        ticket.persistent()?;
    }
    // A deletion of what is not there changes nothing and has no version, so versions are told by the pair only where each has one.
    let changed: Vec<_> = given.iter().filter(|given| !matches!(given.new, Change::Keep)).collect();
    let told = changed.len() == given_versions.len();
    let versions = given_versions.iter().enumerate();
    match output.format {
        Format::Json | Format::Jsonl => {
            let pairs: Vec<Value> = versions
                .map(|(at, version)| {
                    let pair = told.then(|| changed[at]);
                    let key = pair.map(|given| given.opened.shape().key_to_json(&given.key));
                    json!({ "table": pair.map(|given| &given.name), "key": key, "version": version.to_string() })
                })
                .collect();
            output.document(&json!({ "epoch": epoch.to_string(), "persistent": persistent, "pairs": pairs }))
        }
        Format::Table | Format::Raw | Format::Hex => {
            for (at, version) in versions {
                let word = if told { changed[at].word() } else { "-".to_owned() };
                output.line(&format!("{word}\t{version}"))?;
            }
            Ok(())
        }
    }
}
