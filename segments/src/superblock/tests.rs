use super::*;
use crate::golden;
use proptest::prelude::*;

type Image = [Vec<u8>; 4];

fn superblock(sequence: u64) -> Superblock {
    let cut = |incarnation, counter| (Incarnation(incarnation), EpochId::new(Incarnation(incarnation), counter));
    Superblock {
        domain: DomainId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        sequence,
        salt: 0x5a17_5a17,
        hash_key: *b"sixteen bytes of",
        segment_pages: 16_384,
        features: Features { incompatible: Features::ENDS, compatible: 0x80, ..Features::default() },
        incarnation: Incarnation(9),
        shards: 4,
        pages: 64 + 3 * 16_384,
        closed: Some(EpochId::new(Incarnation(9), 0x51_5253_5455)),
        cuts: vec![cut(0, 0), cut(3, 77), cut(8, 0x41_4243_4445)],
    }
}

fn bytes(superblock: &Superblock, copy: u8) -> Vec<u8> {
    superblock.encode(copy).bytes().to_vec()
}

fn image(superblock: &Superblock) -> Image {
    [0, 1, 2, 3].map(|copy| bytes(superblock, copy))
}

fn choose(image: &Image) -> Result<Choice, SuperblockError> {
    Superblock::choose(image.each_ref().map(|copy| Some(copy.as_slice())))
}

fn resealed(mut copy: Vec<u8>) -> Vec<u8> {
    let sum = crate::checksum::checksum(crate::checksum::checksum(0, &copy[..12]), &copy[16..]);
    copy[12..16].copy_from_slice(&sum.to_le_bytes());
    copy
}

#[test]
fn the_bytes_are_those_of_the_first_versions() {
    let mut first = superblock(0x2122_2324);
    golden::check("superblock_closed", include_str!("../golden/superblock_closed.hex"), &bytes(&first, 2));
    (first.features.incompatible, first.pages, first.closed) = (0, 0, None);
    golden::check("superblock", include_str!("../golden/superblock.hex"), &bytes(&first, 2));
}

#[test]
fn four_equal_copies_are_chosen_and_two_suffice() {
    let want = superblock(5);
    let full = image(&want);
    assert_eq!(choose(&full), Ok(Choice { superblock: want.clone(), good: [true; 4], read_only: false }));
    for bad in 0..16_u32 {
        let copies = [0, 1, 2, 3].map(|copy: usize| (bad >> copy & 1 == 0).then_some(full[copy].as_slice()));
        let got = Superblock::choose(copies);
        if bad.count_ones() <= 2 {
            assert_eq!(got.map(|choice| choice.superblock), Ok(want.clone()), "{bad:b}");
        } else {
            assert!(matches!(got, Err(SuperblockError::NoQuorum { .. })), "{bad:b}");
        }
    }
}

/// A copy is the old one, the new one, or garbage: all 81 states of four copies.
#[test]
fn every_state_of_four_torn_copies_gives_the_newest_quorum() {
    let (old, new) = (superblock(5), superblock(6));
    let (old_image, new_image) = (image(&old), image(&new));
    for state in 0..81_usize {
        let of = |copy: usize| state / 3_usize.pow(u32::try_from(copy).expect("below four")) % 3;
        let copies: Image = [0, 1, 2, 3].map(|copy| match of(copy) {
            0 => old_image[copy].clone(),
            1 => new_image[copy].clone(),
            _ => [&new_image[copy][..512], &[0x55; SUPERBLOCK_COPY_BYTES - 512]].concat(),
        });
        let count = |wanted| (0..4).filter(|copy| of(*copy) == wanted).count();
        let (want, holds) = if count(1) >= 2 {
            (&new, 1)
        } else if count(0) >= 2 {
            (&old, 0)
        } else {
            let error = choose(&copies).expect_err("no two agree");
            assert!(matches!(error, SuperblockError::NoQuorum { .. }), "state {state}: {error}");
            continue;
        };
        let choice = choose(&copies).expect("two agree");
        assert_eq!(&choice.superblock, want, "state {state}");
        assert_eq!(choice.good, [0, 1, 2, 3].map(|copy| of(copy) == holds), "state {state}");
        assert_eq!(choice.stale(), (0..4).filter(|copy| of(usize::from(*copy)) != holds).collect::<Vec<_>>());
    }
}

/// Every state that crashes can leave behind: updates are cut short in either phase, with each written copy old, new or torn; the
/// next opener repairs, which may be cut short too, and updates to other content. No state may lose the quorum, nor go back
/// behind an update whose first flush was done.
#[test]
fn no_sequence_of_crashed_updates_and_repairs_loses_the_quorum() {
    let torn = vec![0x55; SUPERBLOCK_COPY_BYTES];
    let mut frontier: Vec<Image> = vec![image(&superblock(1))];
    let mut opened = 0;
    for generation in 0..3_u32 {
        let mut next: Vec<Image> = Vec::new();
        for start in frontier {
            let choice = choose(&start).expect("a quorum survives every crash");
            opened += 1;
            let repaired = image(&choice.superblock);
            let mut crashes = crashes(&start, &choice.stale(), &repaired, &torn);
            // Two attempts of one recovery may find different cuts: other content under the same sequence.
            for salt in [generation, 100] {
                let new = Superblock { salt, ..superblock(choice.superblock.sequence + 1) };
                crashes.extend(self::update(repaired.clone(), &choice.superblock, &new, &torn));
            }
            for state in crashes {
                if !next.contains(&state) {
                    next.push(state);
                }
            }
        }
        frontier = next;
    }
    assert!(opened > 100, "only {opened} states were opened");
}

/// What crashes leave of an update from `old`, which all copies hold, to `new`; the last state is the one without a crash.
fn update(mut now: Image, old: &Superblock, new: &Superblock, torn: &[u8]) -> Vec<Image> {
    let newer = image(new);
    let mut states = Vec::new();
    for (phase, pair) in update_order(new.sequence).iter().enumerate() {
        let cut_short = crashes(&now, pair, &newer, torn);
        for state in &cut_short {
            let found = choose(state).expect("a quorum survives every crash").superblock;
            assert!(found == *new || (phase == 0 && found == *old), "phase {phase}");
        }
        states.extend(cut_short);
        pair.iter().for_each(|copy| now[usize::from(*copy)].clone_from(&newer[usize::from(*copy)]));
    }
    assert_eq!(choose(&now).map(|choice| choice.good), Ok([true; 4]));
    states.push(now);
    states
}

/// What a crash leaves of `now` while `written` copies are overwritten from `target`: each is old, new or torn.
fn crashes(now: &Image, written: &[u8], target: &Image, torn: &[u8]) -> Vec<Image> {
    let mut states = vec![now.clone()];
    for copy in written.iter().map(|copy| usize::from(*copy)) {
        for state in states.clone() {
            for becomes in [target[copy].as_slice(), torn] {
                let mut state = state.clone();
                state[copy] = becomes.to_vec();
                states.push(state);
            }
        }
    }
    states
}

#[test]
fn the_pairs_of_an_update_alternate_and_cover_all_copies() {
    for sequence in [1, 2, 3, u64::MAX] {
        let [first, second] = update_order(sequence);
        let mut all = [first, second].concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_eq!(update_order(sequence.wrapping_add(1)), [second, first]);
    }
    assert_eq!([0, 1, 2, 3].map(copy_page), [PageNo(0), PageNo(16), PageNo(32), PageNo(48)]);
}

#[test]
fn one_newer_copy_does_not_win_and_a_copy_in_a_foreign_place_does_not_count() {
    let (old, new) = (superblock(5), superblock(6));
    let mut copies = image(&old);
    copies[3] = bytes(&new, 3);
    assert_eq!(choose(&copies).map(|choice| choice.superblock), Ok(old));
    let misdirected: Image = [0, 0, 0, 0].map(|_| bytes(&new, 3));
    let error = choose(&misdirected).expect_err("the same copy four times is one copy");
    assert!(matches!(
        error,
        SuperblockError::NoQuorum { found: [CopyFound::Damaged, .., CopyFound::Valid { sequence: 6 }] }
    ));
}

#[test]
fn two_pairs_with_one_sequence_are_no_quorum() {
    let (one, other) = (superblock(5), Superblock { salt: 1, ..superblock(5) });
    let copies = [bytes(&one, 0), bytes(&one, 1), bytes(&other, 2), bytes(&other, 3)];
    assert!(matches!(choose(&copies), Err(SuperblockError::NoQuorum { .. })));
}

#[test]
fn an_empty_device_a_foreign_one_and_a_damaged_one_are_told_apart() {
    let blank = vec![0; SUPERBLOCK_COPY_BYTES];
    let text = b"#!/bin/sh\n".repeat(7000)[..SUPERBLOCK_COPY_BYTES].to_vec();
    let ours = bytes(&superblock(1), 0);
    assert_eq!(choose(&[0, 1, 2, 3].map(|_| blank.clone())), Err(SuperblockError::Empty));
    assert_eq!(choose(&[0, 1, 2, 3].map(|_| text.clone())), Err(SuperblockError::NotAStore));
    assert_eq!(choose(&[text.clone(), blank.clone(), blank.clone(), blank.clone()]), Err(SuperblockError::NotAStore));
    let found = [CopyFound::Valid { sequence: 1 }, CopyFound::Foreign, CopyFound::Blank, CopyFound::Damaged];
    let short = ours[..4096].to_vec();
    assert_eq!(choose(&[ours, text, blank, short]), Err(SuperblockError::NoQuorum { found }));
    let unreadable = [CopyFound::Unreadable; 4];
    assert_eq!(Superblock::choose([None; 4]), Err(SuperblockError::NoQuorum { found: unreadable }));
}

#[test]
fn stores_of_later_versions_are_refused_by_name() {
    let mut later = image(&superblock(5));
    later.iter_mut().for_each(|copy| copy[8] = 2);
    let later = later.map(resealed);
    assert_eq!(choose(&later), Err(SuperblockError::OtherFormat { found: 2, known: 1 }));
    let mut features = superblock(5);
    features.features.incompatible |= 1 << 40;
    assert_eq!(choose(&image(&features)), Err(SuperblockError::UnknownFeatures { incompatible: 1 << 40 }));
    features.features = Features { read_only_compatible: 4, compatible: 1, ..Features::KNOWN };
    assert_eq!(choose(&image(&features)).map(|choice| choice.read_only), Ok(true));
    features.features.read_only_compatible = 0;
    assert_eq!(choose(&image(&features)).map(|choice| choice.read_only), Ok(false));
}

#[test]
fn contents_that_break_a_rule_do_not_count() {
    let plant: [(usize, u8); 9] =
        [(16, 1), (17, 0), (17, 25), (18, 1), (71, 1), (97, 0x20), (100, 1), (127, 1), (65_535, 1)];
    for (at, byte) in plant {
        let mut copy = bytes(&superblock(5), 0);
        copy[at] = byte;
        let copies = [resealed(copy), vec![0; 65_536], vec![0; 65_536], vec![0; 65_536]];
        let error = choose(&copies).expect_err("one copy and a bad one");
        let SuperblockError::NoQuorum { found } = error else { panic!("{error}") };
        assert_eq!(found[0], CopyFound::Damaged, "byte {at}");
    }
    // A cut of the present incarnation, and cuts out of order.
    for (at, byte) in [(128 + 16 + 6, 9), (128 + 6, 5)] {
        let mut copy = bytes(&superblock(5), 0);
        copy[at - 1] = byte;
        assert!(matches!(copy::read(&resealed(copy), 0), CopyRead::Other(CopyFound::Damaged)), "byte {at}");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let mut copy = bytes(&superblock(5), 1);
    // All bits of what is in use, and one bit of each byte behind it.
    let used = 160;
    let bits = (0..used * 8).chain((used..SUPERBLOCK_COPY_BYTES).map(|byte| byte * 8 + byte % 8));
    for bit in bits {
        copy[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(copy::read(&copy, 1), CopyRead::Other(_)), "bit {bit} went unnoticed");
        copy[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(matches!(copy::read(&copy, 1), CopyRead::Valid(_)));
}

#[test]
fn a_recovery_adds_the_cut_and_begins_the_next_incarnation() {
    let first = Superblock::formatted(DomainId(1), 2, [3; 16], 64, 1);
    let next = first.with_recovery(EpochId::base(Incarnation(0)), 3, 80, |_| false).expect("there is room");
    assert_eq!((next.incarnation, next.sequence, next.shards), (Incarnation(1), 2, 3));
    assert_eq!((next.cuts.len(), next.features.incompatible), (0, Features::ENDS), "it left nothing");
    let cut = EpochId::new(Incarnation(1), 5);
    let third = next.with_recovery(cut, 1, 80, |_| false).expect("there is room");
    assert_eq!(
        (&third.cuts[..], third.features.incompatible),
        (&[(Incarnation(1), cut)][..], Features::CUTS_IN_HEADERS | Features::ENDS)
    );
    assert_eq!(choose(&image(&third)).map(|choice| choice.superblock), Ok(third));
}

#[test]
fn the_oldest_cut_makes_room_only_if_a_segment_names_it() {
    let mut full = Superblock::formatted(DomainId(1), 2, [3; 16], 64, 1);
    full.incarnation = Incarnation(1);
    let cut = |incarnation| EpochId::new(Incarnation(incarnation), 5);
    for _ in 0..CUTS_MAX {
        full = full.with_recovery(cut(full.incarnation.0), 1, 80, |_| false).expect("there is room");
    }
    assert_eq!(choose(&image(&full)).map(|choice| choice.superblock), Ok(full.clone()));
    let present = full.incarnation.0;
    let unnamed = full.with_recovery(cut(present), 1, 80, |_| false);
    assert_eq!(unnamed, Err(SuperblockError::CutsFull { max: CUTS_MAX }));
    let next = full.with_recovery(cut(present), 1, 80, |oldest| oldest == cut(1)).expect("the oldest goes");
    assert_eq!((next.cuts.len(), next.cuts[0].1, next.cuts[CUTS_MAX - 1].1), (CUTS_MAX, cut(2), cut(present)));
    let nothing = full.with_recovery(EpochId::base(full.incarnation), 1, 80, |_| false).expect("it needs no room");
    assert_eq!(nothing.cuts, full.cuts);
}

#[test]
fn incarnations_end_with_an_error() {
    let mut last = Superblock::formatted(DomainId(1), 2, [3; 16], 64, 1);
    last.incarnation = Incarnation(INCARNATION_MAX);
    let spent = last.with_recovery(EpochId::base(last.incarnation), 1, 80, |_| true);
    assert_eq!(spent, Err(SuperblockError::IncarnationsSpent { max: INCARNATION_MAX }));
}

proptest! {
    #[test]
    fn a_superblock_round_trips(
        (domain, sequence, salt, hash_key) in any::<(u128, u64, u32, [u8; 16])>(),
        (segment_pages, shards) in (8_u32.., 1..=24_u8),
        cuts in proptest::collection::btree_map(0..1000_u32, 0..1_u64 << 40, 0..20),
        copy in 0..4_u8,
    ) {
        let mut superblock = Superblock::formatted(DomainId(domain), salt, hash_key, segment_pages, shards);
        let cut = |(incarnation, counter)| (Incarnation(incarnation), EpochId::new(Incarnation(incarnation), counter));
        superblock.cuts = cuts.into_iter().map(cut).collect();
        superblock.sequence = sequence;
        superblock.incarnation = Incarnation(1000);
        let bytes = bytes(&superblock, copy);
        prop_assert!(matches!(copy::read(&bytes, copy), CopyRead::Valid(read) if read == superblock));
    }

    #[test]
    fn random_bytes_under_a_right_checksum_never_panic(front in proptest::collection::vec(any::<u8>(), 120)) {
        let mut copy = vec![0; SUPERBLOCK_COPY_BYTES];
        copy[16..136].copy_from_slice(&front);
        copy[..8].copy_from_slice(&SUPERBLOCK_MAGIC);
        copy[8] = 1;
        let _ = copy::read(&resealed(copy), 0);
    }
}

#[test]
fn length_and_end_are_kept_until_the_next_incarnation_and_come_with_their_feature() {
    let mut open = superblock(5);
    open.closed = None;
    let last = EpochId::new(open.incarnation, 7);
    let closed = open.with_close(last, open.pages + 9);
    assert_eq!((closed.sequence, closed.closed, closed.pages), (6, Some(last), open.pages + 9));
    assert_eq!(choose(&image(&closed)).unwrap().superblock, closed);
    let next = closed.with_recovery(last, 1, closed.pages + 1, |_| false).unwrap();
    assert_eq!((next.closed, next.pages), (None, closed.pages + 1));
    for foreign in [EpochId::new(Incarnation(8), 1), EpochId(0)] {
        let mut copy = closed.encode(0).bytes().to_vec();
        copy[112..120].copy_from_slice(&foreign.0.to_le_bytes());
        let copy = resealed(copy);
        let good = foreign.0 == 0;
        assert_eq!(matches!(copy::read(&copy, 0), CopyRead::Valid(_)), good, "{foreign}");
    }
    // A store of before has neither, and takes on both.
    (open.features.incompatible, open.pages) = (0, 0);
    assert_eq!(choose(&image(&open)).unwrap().superblock, open);
    let closed = open.with_close(last, 1000);
    assert_eq!((closed.closed, closed.pages, closed.features.incompatible), (Some(last), 1000, Features::ENDS));
    let mut without = bytes(&closed, 0);
    without[72] = 0;
    assert!(matches!(copy::read(&resealed(without), 0), CopyRead::Other(CopyFound::Damaged)));
}
