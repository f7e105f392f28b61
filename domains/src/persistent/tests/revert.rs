//! Revertible writes against a model: what a revert restores, what ends it, what survives an open, and what is kept meanwhile.

use super::*;
use crate::Status;
use crate::seam::Committed;
use proptest::prelude::*;
use segments::Version;

const LEASE_MS: u64 = 1000;

fn bench() -> Bench {
    let mut bench = Bench::new(tiny());
    bench.now.unix_ms = 10_000;
    bench
}

fn with_lease(options: PutOptions) -> PutOptions {
    PutOptions { revertible_ms: Some(LEASE_MS), ..options }
}

fn one(bench: &mut Bench, add: impl FnOnce(&mut CommitSet)) -> Result<Version, Error> {
    let mut set = CommitSet::new();
    add(&mut set);
    bench.commit(set, Level::Committed).map(|committed: Committed| committed.versions.as_slice()[0])
}

fn put_with(bench: &mut Bench, table: TableId, value: &[u8], options: PutOptions) -> Version {
    one(bench, |set| set.upsert(table, b"k", value, options).unwrap()).unwrap()
}

fn revert(bench: &mut Bench, table: TableId, token: Version) -> Result<Version, Error> {
    one(bench, |set| set.revert(table, b"k", token).unwrap())
}

fn seal(bench: &mut Bench, table: TableId, token: Version) -> Result<Version, Error> {
    one(bench, |set| set.seal(table, b"k", token).unwrap())
}

fn status(bench: &mut Bench) -> Status {
    let Answer::Status(status) = bench.call(Op::Status).unwrap() else { panic!("another answer") };
    *status
}

fn record_bytes(bench: &mut Bench, table: TableId) -> u64 {
    status(bench).tables.iter().find(|status| status.info.id == table).unwrap().record_bytes
}

fn found(error: &Error) -> Option<Version> {
    let Error::CompareFailed { failures } = error else { panic!("{error}") };
    assert_eq!((failures.len(), failures[0].part), (1, 0));
    failures[0].found
}

fn content(pair: &Pair) -> (&[u8], Option<u64>, bool) {
    (&pair.value, pair.expires_ms, pair.compressed)
}

const HOMES: [TableHome; 2] = [TableHome::Persistent, TableHome::Volatile];

#[test]
fn a_revert_restores_value_expiry_and_flag_under_a_new_version() {
    for home in HOMES {
        for cold in [false, true] {
            let mut bench = bench();
            let table = bench.create("t", TableKind::Hash, home);
            let options =
                PutOptions { expires_ms: Some(99_000), compressed: true, compact: false, revertible_ms: None };
            put_with(&mut bench, table, &[7; 9000], options);
            let token = put_with(&mut bench, table, b"new", with_lease(PutOptions::default()));
            bench.force();
            if cold {
                bench.call(Op::DropCache).unwrap();
            }
            let version = revert(&mut bench, table, token).unwrap();
            assert!(version > token, "the pair has a new version");
            let pair = bench.get(table, b"k").unwrap();
            assert_eq!((content(&pair), pair.version), ((&[7; 9000][..], Some(99_000), true), version));
            let error = revert(&mut bench, table, token).unwrap_err();
            assert_eq!((error.code(), found(&error)), (303, Some(version)), "a second time");
            assert!(bench.get(table, b"k").is_some_and(|pair| pair.version == version), "and nothing was changed");
        }
    }
}

#[test]
fn a_revert_of_a_first_write_restores_absence_of_every_kind_of_table() {
    for kind in [TableKind::Hash, TableKind::Ordered, TableKind::Sack] {
        for home in HOMES {
            let mut bench = bench();
            let table = bench.create("t", kind, home);
            let mut key = b"k".to_vec();
            if kind == TableKind::Sack {
                let Answer::Reserved(addresses) = bench.call(Op::Reserve { table, count: 1 }).unwrap() else {
                    panic!()
                };
                key = addresses[0].to_vec();
            }
            let options = with_lease(PutOptions::default());
            let token = one(&mut bench, |set| set.insert(table, &key, b"v", options).unwrap()).unwrap();
            one(&mut bench, |set| set.revert(table, &key, token).unwrap()).unwrap();
            assert_eq!(bench.get(table, &key), None);
            let error = one(&mut bench, |set| set.revert(table, &key, token).unwrap()).unwrap_err();
            assert_eq!(found(&error), None);
            let status = status(&mut bench);
            assert_eq!((status.revertible_writes, status.kept_bytes), (0, 0));
            assert_eq!(record_bytes(&mut bench, table), 0);
        }
    }
}

#[test]
fn what_overwrites_supersedes_and_the_chain_is_one_long() {
    for home in HOMES {
        let mut bench = bench();
        let table = bench.create("t", TableKind::Ordered, home);
        put_with(&mut bench, table, b"1", PutOptions::default());
        let first = put_with(&mut bench, table, b"2", with_lease(PutOptions::default()));
        let second = put_with(&mut bench, table, b"3", with_lease(PutOptions::default()));
        assert_eq!(status(&mut bench).revertible_writes, 1, "the first is sealed");
        assert_eq!(found(&revert(&mut bench, table, first).unwrap_err()), Some(second));
        let restored = revert(&mut bench, table, second).unwrap();
        assert_eq!(bench.get(table, b"k").unwrap().value, b"2");
        assert_eq!(found(&revert(&mut bench, table, first).unwrap_err()), Some(restored));
        assert_eq!(revert(&mut bench, table, restored).unwrap_err().code(), 306, "what was restored is sealed");
    }
}

#[test]
fn a_lease_ends_at_its_time_and_a_seal_ends_it_at_once() {
    for home in HOMES {
        let mut bench = bench();
        let table = bench.create("t", TableKind::Hash, home);
        let plain = put_with(&mut bench, table, b"1", PutOptions::default());
        assert_eq!(revert(&mut bench, table, plain).unwrap_err().code(), 306, "it was not revertible");
        let token = put_with(&mut bench, table, b"2", with_lease(PutOptions { compressed: true, ..<_>::default() }));
        bench.now.unix_ms += LEASE_MS - 1;
        let sealed = seal(&mut bench, table, token).unwrap();
        assert_eq!(found(&revert(&mut bench, table, token).unwrap_err()), Some(sealed));
        let pair = bench.get(table, b"k").unwrap();
        assert_eq!((content(&pair), pair.version), ((&b"2"[..], None, true), sealed));
        let token = put_with(&mut bench, table, b"3", with_lease(PutOptions::default()));
        bench.now.unix_ms += LEASE_MS;
        for error in [revert(&mut bench, table, token).unwrap_err(), seal(&mut bench, table, token).unwrap_err()] {
            assert_eq!(error, Error::LeaseEnded { token, until_ms: bench.now.unix_ms });
        }
        assert_eq!(bench.get(table, b"k").unwrap().version, token, "it stands, unchanged");
    }
}

#[test]
fn what_is_kept_is_counted_and_comes_back_to_the_baseline_whatever_ends_it() {
    for home in HOMES {
        for end in 0..5 {
            let mut bench = bench();
            let table = bench.create("t", TableKind::Hash, home);
            put_with(&mut bench, table, &[1; 500], PutOptions::default());
            let (baseline, cached) = (record_bytes(&mut bench, table), status(&mut bench).cache_bytes);
            let token = put_with(&mut bench, table, &[2; 500], with_lease(PutOptions::default()));
            assert_eq!(record_bytes(&mut bench, table), 2 * baseline + 16);
            assert_eq!(status(&mut bench).kept_bytes, baseline);
            match end {
                0 => drop(revert(&mut bench, table, token).unwrap()),
                1 => drop(seal(&mut bench, table, token).unwrap()),
                2 => drop(put_with(&mut bench, table, &[3; 500], PutOptions::default())),
                3 => drop(one(&mut bench, |set| set.delete(table, b"k").unwrap()).unwrap()),
                _ => bench.now.unix_ms += LEASE_MS,
            }
            let expected = [baseline, baseline, baseline, 0, baseline + 16][end];
            assert_eq!(record_bytes(&mut bench, table), expected, "end {end}, {home:?}");
            let after = status(&mut bench);
            assert_eq!((after.revertible_writes, after.kept_bytes), (0, 0));
            if home == TableHome::Volatile && end < 3 {
                assert_eq!(after.cache_bytes - cached, 0, "the earlier record is gone from memory too");
            }
        }
    }
}

#[test]
fn a_table_that_is_destroyed_takes_what_it_kept_with_it() {
    for home in HOMES {
        let mut bench = bench();
        let table = bench.create("t", TableKind::Ordered, home);
        put_with(&mut bench, table, b"1", PutOptions::default());
        put_with(&mut bench, table, b"2", with_lease(PutOptions::default()));
        bench.call(Op::DestroyTable { name: "t".to_owned() }).unwrap();
        for _ in 0..4 {
            bench.run();
        }
        assert_eq!((status(&mut bench).revertible_writes, status(&mut bench).kept_bytes), (0, 0));
    }
}

#[test]
fn no_more_is_kept_than_the_store_may_keep() {
    let mut bench = Bench::new(Config { kept_bytes_max: 2000, ..tiny() });
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let mut tokens = Vec::new();
    for key in 0..4u8 {
        one(&mut bench, |set| set.insert(table, &[key], &[0; 900], PutOptions::default()).unwrap()).unwrap();
        let options = with_lease(PutOptions::default());
        let put = one(&mut bench, |set| set.update(table, &[key], b"new", options).unwrap());
        match key {
            0 | 1 => tokens.push(put.unwrap()),
            _ => assert_eq!(put.unwrap_err().code(), 308),
        }
    }
    assert_eq!(bench.get(table, &[3]).unwrap().value, [0; 900], "a refused write changes nothing");
    one(&mut bench, |set| set.seal(table, &[0], tokens[0]).unwrap()).unwrap();
    one(&mut bench, |set| set.update(table, &[3], b"new", with_lease(PutOptions::default())).unwrap()).unwrap();
}

#[test]
fn a_token_survives_an_open_and_one_that_a_crash_undid_is_unknown() {
    // With segments this small most of the log is recovered from summaries.
    let mut bench = bench();
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    put_with(&mut bench, table, b"1", PutOptions::default());
    let token = put_with(&mut bench, table, b"2", with_lease(PutOptions::default()));
    for n in 0u32..60 {
        bench.put(table, &n.to_le_bytes(), &[0; 3000]);
        bench.force();
    }
    let report = bench.reopen();
    assert!(report.summaries_used > 0, "{report:?}");
    assert_eq!(status(&mut bench).revertible_writes, 1);
    let lost = put_with(&mut bench, table, b"3", with_lease(PutOptions::default()));
    bench.reopen();
    assert_eq!(bench.get(table, b"k").unwrap().value, b"2", "the write was lost");
    let error = revert(&mut bench, table, lost).unwrap_err();
    assert_eq!(error, Error::NoSuchToken { table, token: lost });
    revert(&mut bench, table, token).unwrap();
    bench.force();
    bench.reopen();
    assert_eq!(bench.get(table, b"k").unwrap().value, b"1");
    assert_eq!(status(&mut bench).revertible_writes, 0);
}

#[test]
fn a_token_of_a_volatile_table_ends_with_its_incarnation() {
    let mut bench = bench();
    let table = bench.create("t", TableKind::Hash, TableHome::Volatile);
    let token = put_with(&mut bench, table, b"1", with_lease(PutOptions::default()));
    bench.force();
    bench.reopen();
    assert_eq!(revert(&mut bench, table, token).unwrap_err(), Error::NoSuchToken { table, token });
}

#[test]
fn reverts_stand_in_a_set_with_other_updates_and_over_several_tables() {
    let mut bench = bench();
    let (a, b) = (
        bench.create("a", TableKind::Hash, TableHome::Persistent),
        bench.create("b", TableKind::Ordered, TableHome::Volatile),
    );
    let mut tokens = Vec::new();
    for table in [a, b] {
        put_with(&mut bench, table, b"1", PutOptions::default());
        tokens.push(put_with(&mut bench, table, b"2", with_lease(PutOptions::default())));
    }
    let mut set = CommitSet::new();
    set.revert(a, b"k", tokens[0]).unwrap();
    set.seal(b, b"k", tokens[1]).unwrap();
    set.insert(a, b"other", b"v", PutOptions::default()).unwrap();
    set.compare(b, b"nothing", Expect::Present).unwrap();
    let error = bench.commit(set.clone(), Level::Persistent).unwrap_err();
    assert!(matches!(&error, Error::CompareFailed { failures } if failures.len() == 1), "{error}");
    assert_eq!(bench.get(a, b"k").unwrap().value, b"2", "all or nothing");
    let mut whole = CommitSet::new();
    whole.revert(a, b"k", tokens[0]).unwrap();
    whole.seal(b, b"k", tokens[1]).unwrap();
    whole.insert(a, b"other", b"v", PutOptions::default()).unwrap();
    let committed = bench.commit(whole, Level::Persistent).unwrap();
    assert_eq!(committed.versions.as_slice().len(), 3);
    let values = [(a, b"k".to_vec()), (b, b"k".to_vec()), (a, b"other".to_vec())];
    let values = values.map(|(table, key)| bench.get(table, &key).unwrap().value);
    assert_eq!(values, [b"1".to_vec(), b"2".to_vec(), b"v".to_vec()]);
    let mut alone = CommitSet::new();
    alone.revert(a, b"k", tokens[0]).unwrap();
    assert_eq!(alone.upsert(a, b"k", b"", PutOptions::default()), Err(txn::SetError::RevertsAlone));
    assert_eq!(alone.seal(a, b"k", tokens[0]), Err(txn::SetError::RevertsAlone));
}

/// A step of a random program on one of three keys.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Put { appends: bool, revertible: bool, expires: bool, compressed: bool, bytes: u16 },
    Delete,
    Revert { back: usize },
    Seal { back: usize },
    Pass(u16),
    DropCache,
    Reopen,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (0..3u8, any::<bool>(), 0..4u8, any::<bool>(), prop_oneof![0..100u16, 3000..9000u16]).prop_map(
            |(appends, revertible, expires, compressed, bytes)| {
                let (appends, expires) = (appends != 0, expires == 0);
                Deed::Put { appends, revertible, expires, compressed, bytes }
            }
        ),
        1 => Just(Deed::Delete),
        4 => (0..3usize).prop_map(|back| Deed::Revert { back }),
        2 => (0..3usize).prop_map(|back| Deed::Seal { back }),
        1 => (0..900u16).prop_map(Deed::Pass),
        1 => Just(Deed::DropCache),
        1 => Just(Deed::Reopen),
    ]
}

type Content = (Vec<u8>, Option<u64>, bool);

#[derive(Clone, Debug)]
struct Is {
    content: Content,
    version: Version,
    revertible: Option<(Option<Content>, u64)>,
}

/// What a key is at a time.
fn live(is: Option<&Is>, now: u64) -> Option<&Is> {
    is.filter(|is| is.content.1.is_none_or(|at| at > now))
}

/// Ends a lease in the model as the store must; what the key is then, or the code of the refusal.
fn ended(is: Option<&Is>, token: Version, now: u64, reverts: bool) -> Result<Option<Content>, u16> {
    let Some(is) = live(is, now).filter(|is| is.version == token) else { return Err(303) };
    match &is.revertible {
        None => Err(306),
        Some((_, until)) if *until <= now => Err(307),
        Some((before, _)) if reverts => Ok(before.clone()),
        Some(_) => Ok(Some(is.content.clone())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_random_program_does_what_the_model_does(
        kind in prop_oneof![Just(TableKind::Hash), Just(TableKind::Ordered)],
        volatile in any::<bool>(),
        fingerprint_bits in prop_oneof![Just(64u8), Just(1u8)],
        deeds in proptest::collection::vec((0..3usize, deed()), 1..60),
    ) {
        let mut bench = Bench::new(Config { fingerprint_bits, ..tiny() });
        bench.now.unix_ms = 10_000;
        let home = if volatile { TableHome::Volatile } else { TableHome::Persistent };
        let table = bench.create("t", kind, home);
        let keys = [&b"a"[..], b"b", b"c"];
        let mut model: [Option<Is>; 3] = [None, None, None];
        let mut tokens: [Vec<Version>; 3] = Default::default();
        for (number, (at, deed)) in deeds.into_iter().enumerate() {
            let (key, now) = (keys[at], bench.now.unix_ms);
            let token_of = |back: usize| tokens[at].iter().rev().nth(back).copied();
            match deed {
                Deed::Put { appends, revertible, expires, compressed, bytes } => {
                    let mut value = vec![0; usize::from(bytes) + 8];
                    value[..8].copy_from_slice(&(number as u64).to_le_bytes());
                    let options = PutOptions {
                        expires_ms: expires.then_some(now + 700),
                        compressed, compact: false,
                        revertible_ms: revertible.then_some(LEASE_MS),
                    };
                    let version = one(&mut bench, |set| {
                        if appends { set.append(table, key, &value, options, Expect::Any).unwrap() }
                        else { set.upsert(table, key, &value, options).unwrap() }
                    }).unwrap();
                    let before = live(model[at].as_ref(), now).map(|is| is.content.clone());
                    let content = match before.clone().filter(|_| appends) {
                        Some((whole, end, flag)) =>
                            ([whole, value].concat(), options.expires_ms.or(end), flag || compressed),
                        None => (value, options.expires_ms, compressed),
                    };
                    let revertible = revertible.then_some((before, now + LEASE_MS));
                    model[at] = Some(Is { content, version, revertible });
                    tokens[at].push(version);
                }
                Deed::Delete => {
                    let mut set = CommitSet::new();
                    set.remove(table, key).unwrap();
                    bench.commit(set, Level::Committed).unwrap();
                    model[at] = None;
                }
                Deed::Revert { back } | Deed::Seal { back } => {
                    let Some(token) = token_of(back) else { continue };
                    let reverts = matches!(deed, Deed::Revert { .. });
                    let done = one(&mut bench, |set| {
                        if reverts { set.revert(table, key, token).unwrap() } else { set.seal(table, key, token).unwrap() }
                    });
                    let before_life = volatile && token.epoch.incarnation() != bench.engine.horizon().incarnation;
                    let expected = if before_life { Err(306) } else { ended(model[at].as_ref(), token, now, reverts) };
                    match (done, expected) {
                        (Ok(version), Ok(content)) => {
                            model[at] = content.map(|content| Is { content, version, revertible: None });
                        }
                        (Err(error), Err(code)) => prop_assert_eq!(error.code(), code),
                        (done, expected) => prop_assert!(false, "{:?} where {:?} was expected", done, expected),
                    }
                }
                Deed::Pass(ms) => bench.now.unix_ms += u64::from(ms),
                Deed::DropCache => drop(bench.call(Op::DropCache).unwrap()),
                Deed::Reopen => {
                    bench.force();
                    bench.reopen();
                    if volatile {
                        model = [None, None, None];
                    }
                }
            }
            for (key, is) in keys.iter().zip(&model) {
                let pair = bench.get(table, key);
                let there = pair.as_ref().map(|pair| (pair.value.clone(), pair.expires_ms, pair.compressed));
                let is = live(is.as_ref(), bench.now.unix_ms);
                prop_assert_eq!(there, is.map(|is| is.content.clone()));
                prop_assert_eq!(pair.map(|pair| pair.version), is.map(|is| is.version));
            }
        }
        bench.now.unix_ms += LEASE_MS;
        let status = status(&mut bench);
        prop_assert_eq!((status.revertible_writes, status.kept_bytes), (0, 0), "all leases have ended");
    }
}
