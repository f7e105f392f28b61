//! What no writer writes, under right checksums.

use super::*;

/// The page of one item, with `change` made to its payload, under a right checksum.
fn changed(owner: TableId, item: &Item<'_>, change: &dyn Fn(&mut [u8])) -> Frames {
    let mut writer = CheckpointWriter::new(log_identity(), geometry(), 1);
    writer.add_segment(SegmentId(0));
    writer.push(owner, item, epoch(4));
    writer.finish(start(), epoch(3), epoch(4));
    let mut writes = Vec::new();
    writer.take_writes(&mut writes);
    let mut frames = Frames::zeroed(1);
    *frames.page_mut(0) = *writes[0].1.page(1);
    reseal(&mut frames, |header| header, change);
    frames
}

fn reseal(frames: &mut Frames, header: impl Fn(PageHeader) -> PageHeader, change: &dyn Fn(&mut [u8])) {
    let was = page::parse(frames.page(0), SALT).expect("it was sealed just now");
    change(page::payload_mut(frames.page_mut(0)));
    page::seal(frames.page_mut(0), &header(was), SALT);
}

/// The first error that a page has.
fn error_of(frames: &Frames) -> Option<CheckpointError> {
    match content(frames.page(0), SALT) {
        Err(error) => Some(error),
        Ok((_, Content::Footer(_))) => None,
        Ok((_, Content::Items(items))) => {
            let mut items = items.skip_while(Result::is_ok);
            let error = items.next().map(|item| item.expect_err("those without an error were passed over"));
            assert!(items.next().is_none(), "nothing comes behind an error");
            error
        }
    }
}

#[test]
fn items_that_cannot_be_are_refused_under_a_right_checksum() {
    let all = one_of_each();
    let of = |wanted: fn(&Item<'_>) -> bool| *all.iter().find(|(_, item)| wanted(item)).expect("one of each");
    let hash = of(|item| matches!(item, Item::Hash { .. }));
    let ordered = of(|item| matches!(item, Item::Ordered { key: b"a key", .. }));
    let sack = of(|item| matches!(item, Item::Sack { .. }));
    let table = of(|item| matches!(item, Item::Table { kind: IndexKind::HashWide, .. }));
    let free = of(|item| matches!(item, Item::Segment { used: SegmentUse::Free, .. }));
    let cut = of(|item| matches!(item, Item::Cut { .. }));
    let kept = of(|item| matches!(item, Item::Kept { .. }));
    let plant = [
        (hash, 0, 0, "sort"),
        (hash, 0, 8, "sort"),
        (hash, 1, 1, "zero"),
        (hash, 0, 5, "owner"),
        (cut, 0, 7, "count"),
        (hash, 4, 0, "count"),
        (hash, 4, 2, "count"),
        (hash, 7, 0xff, "count"),
        (hash, 0, 6, "owner"),
        (hash, 8 + 8, 0, "low_place"),
        (ordered, 8 + 7, 1, "place"),
        (ordered, 8 + 8, 6, "key_bytes"),
        (ordered, 8 + 9, 0xff, "key_bytes"),
        (ordered, 8 + 8, 4, "count"),
        (sack, 8 + 15, 0xff, "place"),
        (table, 8, 0, "kind"),
        (table, 8, 5, "kind"),
        (table, 8 + 1, 1, "skip"),
        (table, 8 + 2, 4, "flags"),
        (table, 8 + 7, 1, "zero"),
        (free, 8 + 4, 1, "run"),
        (free, 8 + 8, 5, "used"),
        (free, 8 + 9, 2, "flags"),
        (free, 8 + 11, 1, "zero"),
        (kept, 8 + 4, 1, "zero"),
        (kept, 8 + 15, 1, "place"),
        (kept, 8 + 23, 0x80, "previous"),
    ];
    for ((owner, item), at, byte, field) in plant {
        // The low byte of a place is the offset's and the size's: with 0 it lies in its page's header.
        let frames = changed(owner, &item, &|payload| {
            payload[at] = byte;
            if field == "low_place" {
                payload[at + 1] = 0;
            }
        });
        assert_eq!(error_of(&frames), Some(CheckpointError::Item { field }), "byte {at} of {item:?}");
    }
}

#[test]
fn pages_that_end_inside_an_item_are_refused() {
    for (owner, item) in one_of_each() {
        let bytes = u16::try_from(ITEMS_HEADER_BYTES + item.encoded_bytes()).expect("small");
        for used in 0..bytes {
            let mut frames = changed(owner, &item, &|_| {});
            reseal(&mut frames, |header| PageHeader { used, ..header }, &|_| {});
            assert!(error_of(&frames).is_some(), "{used} bytes of {item:?}");
        }
        let mut frames = changed(owner, &item, &|_| {});
        reseal(&mut frames, |header| PageHeader { used: header.used + 1, ..header }, &|_| {});
        assert_eq!(error_of(&frames), Some(CheckpointError::Item { field: "count" }), "one byte behind {item:?}");
    }
    let (owner, item) = one_of_each()[0];
    let mut log = changed(owner, &item, &|_| {});
    reseal(&mut log, |header| PageHeader { kind: PageKind::Table, ..header }, &|_| {});
    assert_eq!(error_of(&log), Some(CheckpointError::Kind { found: PageKind::Table }));
}

#[test]
fn footers_that_cannot_be_are_refused_under_a_right_checksum() {
    let mut writer = filled(7, &[0], &one_of_each()[..1]);
    writer.finish(start(), epoch(3), epoch(4));
    let mut writes = Vec::new();
    writer.take_writes(&mut writes);
    let mut whole = Frames::zeroed(1);
    *whole.page_mut(0) = *writes[0].1.page(2);
    let plant = [
        ("number", 0, 8),
        ("pages", 4, 3),
        ("applied", 16, 5),
        ("persistent", 24 + 5, 10),
        ("start_incarnation", 44, 10),
        ("start_log", 48, 24),
        ("zero", 49, 1),
        ("zero", 55, 1),
        ("start_closed", 56, 4),
    ];
    for (field, at, byte) in plant {
        let mut frames = whole.clone();
        reseal(&mut frames, |header| header, &|payload| payload[at] = byte);
        assert_eq!(error_of(&frames), Some(CheckpointError::Footer { field }), "byte {at}");
    }
    let mut frames = whole.clone();
    reseal(&mut frames, |header| header, &|payload| payload[32..40].fill(0));
    assert_eq!(error_of(&frames), Some(CheckpointError::Footer { field: "start_seq" }));
    let mut frames = whole.clone();
    reseal(&mut frames, |header| PageHeader { used: 55, ..header }, &|_| {});
    assert_eq!(error_of(&frames), Some(CheckpointError::Footer { field: "used" }));
    let mut frames = whole.clone();
    reseal(&mut frames, |header| PageHeader { owner: TableId(1), ..header }, &|_| {});
    assert_eq!(error_of(&frames), Some(CheckpointError::Footer { field: "owner" }));
    // A wrong count of items is not the page's to know: the whole checkpoint contradicts it.
    let mut device = blank(1);
    written(&mut device, 7, &[0], &one_of_each()[..1]);
    let checkpoint = found(&mut device).remove(0);
    let mut frames = whole;
    reseal(&mut frames, |header| header, &|payload| payload[8] = 2);
    put(&mut device, geometry().page(SegmentId(0), 2), frames);
    check_not(&mut device, &checkpoint, "it counts 2 items, there are 1");
}

proptest! {
    #[test]
    fn random_payloads_under_right_checksums_never_panic(
        sort in 0..9_u8, count in 0..20_u8, bytes in prop::collection::vec(any::<u8>(), 0..200), footer: bool
    ) {
        let payload = [&[sort, 0, 0, 0, count, 0, 0, 0], &bytes[..]].concat();
        let used = u16::try_from(payload.len()).expect("short");
        let kind = if footer { PageKind::CheckpointFooter } else { PageKind::Checkpoint };
        let mut frames = changed(TableId(1), &one_of_each()[0].1, &|_| {});
        reseal(&mut frames, |header| PageHeader { used, kind, ..header }, &|page| {
            page[..payload.len()].copy_from_slice(&payload);
        });
        let _ = error_of(&frames);
    }
}
