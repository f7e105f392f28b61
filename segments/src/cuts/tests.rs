use super::*;
use crate::ids::DomainId;

fn e(incarnation: u32, counter: u64) -> EpochId {
    EpochId::new(Incarnation(incarnation), counter)
}

fn superblock(cuts: &[EpochId]) -> Superblock {
    let mut superblock = Superblock::formatted(DomainId(1), 2, [3; 16], 64, 1);
    superblock.incarnation = Incarnation(9);
    superblock.cuts = cuts.iter().map(|cut| (cut.incarnation(), *cut)).collect();
    superblock
}

fn of(recorded: &[EpochId], named: &[(u32, EpochId)]) -> Result<Vec<EpochId>, CutsError> {
    let named = named.iter().map(|(writer, cut)| (Incarnation(*writer), *cut)).collect();
    Cuts::of(&superblock(recorded), &named, &[]).map(|cuts| cuts.iter().collect())
}

#[test]
fn headers_name_what_the_superblock_has_no_room_for() {
    let (a, b, c) = (e(1, 4), e(4, 2), e(8, 1));
    assert_eq!(of(&[a, b, c], &[]), Ok(vec![a, b, c]));
    assert_eq!(of(&[c], &[(8, b), (4, a)]), Ok(vec![a, b, c]));
    assert_eq!(of(&[e(0, 0), b, c], &[(4, a), (8, b), (9, c)]), Ok(vec![a, b, c]), "a cut at a base is none");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let (a, b, c) = (e(1, 4), e(4, 2), e(8, 1));
    let twice = Err(CutsError::Contradiction { one: b, other: e(4, 3) });
    assert_eq!(of(&[b, c], &[(8, e(4, 3))]), twice);
    assert_eq!(of(&[c], &[(8, b), (8, e(4, 3))]), twice);
    let skipped = CutsError::Misnamed { writer: Incarnation(8), named: a, before: b };
    assert_eq!(of(&[b, c], &[(4, a), (8, a)]), Err(skipped), "a link of the chain is left out");
}

#[test]
fn an_epoch_counts_up_to_the_cut_of_its_incarnation() {
    let cuts = Cuts::of(&superblock(&[e(3, 77), e(8, 5)]), &BTreeSet::new(), &[]).expect("they ascend");
    let fates = |epochs: &[EpochId], fate| assert!(epochs.iter().all(|epoch| cuts.fate(*epoch) == fate), "{fate:?}");
    fates(&[e(0, 0), e(3, 0), e(3, 77), e(4, 0), e(8, 5)], Fate::Survived);
    fates(&[e(0, 1), e(3, 78), e(4, 1), e(8, 6)], Fate::Lost);
    fates(&[e(9, 0), e(9, 1 << 39)], Fate::Present);
    fates(&[e(10, 0), e(10, 1)], Fate::Unborn);
    assert_eq!([3, 4, 9].map(|of| cuts.cut_of(Incarnation(of))), [Some(e(3, 77)), Some(e(4, 0)), None]);
    let next = cuts.ended(e(9, 2));
    assert_eq!((next.last(), next.present(), next.fate(e(9, 3))), (Some(e(9, 2)), Incarnation(10), Fate::Lost));
    assert_eq!(next.ended(e(10, 0)).last(), Some(e(9, 2)));
}
