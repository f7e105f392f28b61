use super::*;
use crate::blocking::Blocking;
use crate::device::{Completion, Device, DeviceError, Request, Tag};
use crate::frame::{Frames, PAGE_BYTES};
use crate::golden;
use crate::ids::{DomainId, PageNo, SegmentId, TableId};
use crate::limits::KEY_BYTES_MAX;
use crate::log::LogIdentity;
use crate::log::scan::{self, DeviceIdentity, ScanError};
use crate::memory::MemoryDevice;
use crate::page::{self, PageHeader, PageKind};
use crate::place::Place;
use crate::segment::Geometry;
use proptest::prelude::*;

mod refused;

const SALT: u32 = 0x5a17_5a17;
const INCARNATION: Incarnation = Incarnation(9);
const SEGMENT_PAGES: u32 = 8;

fn geometry() -> Geometry {
    Geometry::new(SEGMENT_PAGES)
}

fn domain() -> DomainId {
    DomainId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10)
}

fn log_identity() -> LogIdentity {
    let cut_before = Some(EpochId::new(Incarnation(8), 5));
    LogIdentity { domain: domain(), salt: SALT, incarnation: INCARNATION, log: ShardId(3), cut_before }
}

fn identity() -> DeviceIdentity {
    DeviceIdentity { domain: domain(), salt: SALT, geometry: geometry() }
}

fn epoch(counter: u64) -> EpochId {
    EpochId::new(INCARNATION, counter)
}

fn start() -> Start {
    let chain = Chain { next_seq: 0x3132_3334_3536_3738, previous: 0x4142_4344 };
    Start { incarnation: INCARNATION, log: ShardId(3), chain, closed: epoch(1) }
}

fn place(number: u64) -> Place {
    Place::new(PageNo(1000 + number), 88, 1)
}

/// An item that is kept apart from any page.
type Owned = (TableId, Item<'static>);

/// One item of each sort and variant.
fn one_of_each() -> Vec<Owned> {
    let table = |kind, flag| Item::Table { kind, pairs: 1 << 40, record_bytes: 77, expires: flag, named: !flag };
    let segment = |number, run, used, named| {
        let segment = SegmentId(number);
        Item::Segment { segment, run, used, named, records: 0x0102_0304, pages: 0x1112_1314 }
    };
    let of_table = [
        Item::Hash { high: 0x0102_0304_0506_0708, low: 0x1ff, place: place(1) },
        Item::Hash { high: u64::MAX, low: 0, place: place(2) },
        table(IndexKind::HashWide, true),
        table(IndexKind::HashCompact { skip: 7 }, false),
        Item::Ordered { key: b"", place: place(3) },
        Item::Ordered { key: b"a key", place: place(4) },
        table(IndexKind::Ordered, true),
        Item::Sack { address: 0x2122_2324_2526_2728, place: place(5) },
        table(IndexKind::Sack, true),
    ];
    let of_none = [
        segment(0, 0, SegmentUse::Free, false),
        segment(1, 2, SegmentUse::Log, true),
        segment(2, 0, SegmentUse::Body, false),
        segment(3, 1, SegmentUse::Table, true),
        segment(4, 1, SegmentUse::Checkpoint, false),
        Item::Cut { epoch: EpochId::new(Incarnation(8), 5) },
        Item::Kept { table: TableId(7), place: place(6), previous: 0, until_ms: 5, bytes: 6 },
        Item::Kept { table: TableId(8), place: place(7), previous: place(6).to_bits(), until_ms: 1 << 41, bytes: 7 },
    ];
    let owned = of_table.into_iter().map(|item| (TableId(0x5152_5354), item));
    owned.chain(of_none.into_iter().map(|item| (TableId(0), item))).collect()
}

/// Items that take more than two segments: so many pages of each of three tables, and one of each sort.
fn many() -> Vec<Owned> {
    let hash = |number: u64| Item::Hash { high: number << 32, low: 5, place: place(number) };
    let sack = |number: u64| Item::Sack { address: number, place: place(number) };
    let first = (0..1500).map(|number| (TableId(1), hash(number)));
    let second = (0..600).map(|number| (TableId(2), hash(number)));
    let third = (0..400).map(|number| (TableId(3), sack(number)));
    first.chain(second).chain(third).chain(one_of_each()).collect()
}

/// A device with these segments, on which nothing is.
fn blank(segments: u32) -> MemoryDevice {
    MemoryDevice::new(geometry().pages_for(segments))
}

/// Fills a checkpoint; its pages are not written yet.
fn filled(number: u32, segments: &[u32], items: &[Owned]) -> CheckpointWriter {
    let mut writer = CheckpointWriter::new(log_identity(), geometry(), number);
    segments.iter().for_each(|segment| writer.add_segment(SegmentId(*segment)));
    for (owner, item) in items {
        let left = writer.pages_left();
        writer.push(*owner, item, epoch(4));
        assert!(left - writer.pages_left() <= 1, "an item opens at most one page");
    }
    writer
}

fn write(device: &mut MemoryDevice, writer: &mut CheckpointWriter) {
    let mut writes = Vec::new();
    writer.take_writes(&mut writes);
    Blocking::new(device).write_each(writes).expect("a memory device does not fail");
}

/// Writes a whole checkpoint.
fn written(device: &mut MemoryDevice, number: u32, segments: &[u32], items: &[Owned]) -> CheckpointWriter {
    let mut writer = filled(number, segments, items);
    writer.finish(start(), epoch(3), epoch(4));
    write(device, &mut writer);
    writer
}

fn found(device: &mut dyn Device) -> Vec<FoundCheckpoint> {
    let runs = scan::find_runs(&mut Blocking::new(device), &identity()).expect("it does not fail as a whole");
    find(&runs.runs)
}

/// What reading comes to, and the items that were shown.
fn read_from(device: &mut dyn Device, found: &FoundCheckpoint) -> (Read, Vec<(TableId, String)>) {
    let mut shown = Vec::new();
    let end = read(&mut Blocking::new(device), &identity(), found, &mut |_, owner, item| {
        shown.push((owner, format!("{item:?}")));
        Ok(())
    });
    (end.expect("the device does not fail as a whole"), shown)
}

fn printed(items: &[Owned]) -> Vec<(TableId, String)> {
    items.iter().map(|(owner, item)| (*owner, format!("{item:?}"))).collect()
}

#[track_caller]
fn check_not(device: &mut dyn Device, found: &FoundCheckpoint, why: &str) {
    match read_from(device, found).0 {
        Read::Not { why: found } => assert!(found.contains(why), "{found}"),
        Read::Whole(footer) => panic!("it counts, but {why}: {footer:?}"),
    }
}

/// The frames of a page on the device.
fn page_at(device: &mut MemoryDevice, at: PageNo) -> Frames {
    Blocking::new(device).read(at, 1).expect("a memory device does not fail")
}

fn put(device: &mut MemoryDevice, at: PageNo, frames: Frames) {
    Blocking::new(device).write_each(vec![(at, frames)]).expect("a memory device does not fail");
}

#[test]
fn the_bytes_are_those_of_the_first_version() {
    let mut writer = CheckpointWriter::new(log_identity(), Geometry::new(32), 0x0a0b_0c0d);
    writer.add_segment(SegmentId(5));
    one_of_each().iter().for_each(|(owner, item)| writer.push(*owner, item, epoch(4)));
    writer.finish(start(), epoch(3), epoch(6));
    let mut writes = Vec::new();
    writer.take_writes(&mut writes);
    let [(at, frames)] = &writes[..] else { panic!("one segment is written at once: {writes:?}") };
    assert_eq!((*at, frames.pages()), (PageNo(64 + 5 * 32), 11));
    golden::check("checkpoint", include_str!("../golden/checkpoint.hex"), frames.bytes());
}

#[test]
fn what_was_pushed_is_read_from_several_segments() {
    let (mut device, items) = (blank(9), many());
    let writer = written(&mut device, 7, &[6, 1, 3, 8], &items);
    let checkpoints = found(&mut device);
    let [checkpoint] = &checkpoints[..] else { panic!("one was written: {checkpoints:?}") };
    assert_eq!((checkpoint.incarnation, checkpoint.log, checkpoint.number), (INCARNATION, ShardId(3), 7));
    let segments: Vec<_> = checkpoint.segments.iter().map(|run| run.run.segment.0).collect();
    assert_eq!(segments, [6, 1, 3], "in the order in which they were filled; the last was not needed");
    assert_eq!(writer.segments().len(), 4);
    let (end, shown) = read_from(&mut device, checkpoint);
    assert_eq!(shown, printed(&items));
    let (pages, items) = (writer.pages() - 1, items.len() as u64);
    let footer = Footer { number: 7, start: start(), applied: epoch(3), persistent: epoch(4), pages, items };
    assert_eq!(end, Read::Whole(footer));
    assert!(pages > 2 * SEGMENT_PAGES, "{pages} pages are in three segments");
}

#[test]
fn a_checkpoint_of_nothing_is_one() {
    let mut device = blank(1);
    let writer = written(&mut device, 0, &[0], &[]);
    let checkpoint = found(&mut device).remove(0);
    let (end, shown) = read_from(&mut device, &checkpoint);
    assert!(shown.is_empty());
    let footer = Footer { number: 0, start: start(), applied: epoch(3), persistent: epoch(4), pages: 1, items: 0 };
    assert_eq!((end, writer.pages_left()), (Read::Whole(footer), 6));
}

#[test]
fn pages_left_are_those_that_can_be_opened() {
    let mut writer = CheckpointWriter::new(log_identity(), geometry(), 1);
    assert_eq!(writer.pages_left(), 0);
    writer.add_segment(SegmentId(0));
    writer.add_segment(SegmentId(2));
    let key = [7; KEY_BYTES_MAX];
    for pushed in 0..13 {
        assert_eq!(writer.pages_left(), 14 - pushed);
        // Two of the longest keys do not fit a page.
        writer.push(TableId(1), &Item::Ordered { key: &key, place: place(pushed) }, epoch(1));
    }
    writer.finish(start(), epoch(1), epoch(1));
    assert_eq!((writer.pages_left(), writer.pages()), (0, 16));
    let mut writes = Vec::new();
    writer.take_writes(&mut writes);
    let places: Vec<_> = writes.iter().map(|(at, frames)| (at.0, frames.pages())).collect();
    assert_eq!(places, [(64, 8), (64 + 16, 8)], "every page of a segment is used");
}

#[test]
#[should_panic(expected = "whoever pushes asked whether a page is left")]
fn an_item_without_a_page_left_is_our_mistake() {
    let key = [7; KEY_BYTES_MAX];
    let items: Vec<Owned> = (0..8).map(|number| (TableId(1), Item::Cut { epoch: epoch(number) })).collect();
    let mut writer = filled(1, &[0], &items.iter().map(|(_, item)| (TableId(0), *item)).collect::<Vec<_>>());
    (0..7).for_each(|number| writer.push(TableId(1), &Item::Ordered { key: &key, place: place(number) }, epoch(1)));
}

#[test]
#[should_panic(expected = "a footer whose Some(\"applied\") is wrong")]
fn a_footer_waits_for_what_was_applied_to_be_persistent() {
    filled(1, &[0], &one_of_each()[..1]).finish(start(), epoch(5), epoch(4));
}

#[test]
fn writes_are_of_adjacent_pages_and_at_most_a_mebibyte() {
    let mut writer = CheckpointWriter::new(log_identity(), Geometry::new(300), 1);
    (0..2).for_each(|segment| writer.add_segment(SegmentId(segment)));
    let sack = |number| Item::Sack { address: number, place: place(number) };
    (0..250 * 310).for_each(|number| writer.push(TableId(1), &sack(number), epoch(1)));
    let mut writes = Vec::new();
    writer.take_writes(&mut writes);
    writer.end_items();
    writer.take_writes(&mut writes);
    writer.finish(start(), epoch(1), epoch(1));
    writer.take_writes(&mut writes);
    let places: Vec<_> = writes.iter().map(|(at, frames)| (at.0, frames.pages())).collect();
    // 310 pages of items and two headers: the one still open at first, then the footer, are fetched by themselves.
    assert_eq!(places, [(64, 256), (320, 55), (375, 1), (376, 1)]);
    writer.take_writes(&mut writes);
    assert_eq!(writes.len(), 4, "no page is handed out twice");
}

#[test]
fn the_newest_checkpoint_is_found_first() {
    let mut device = blank(9);
    for (number, segments) in [(2, [0, 5]), (3, [1, 6])] {
        written(&mut device, number, &segments, &many()[..2000]);
    }
    let mut later = CheckpointWriter::new(
        LogIdentity { incarnation: Incarnation(10), log: ShardId(1), ..log_identity() },
        geometry(),
        1,
    );
    later.add_segment(SegmentId(4));
    later.finish(Start { incarnation: Incarnation(10), ..start() }, epoch(3), epoch(4));
    write(&mut device, &mut later);
    let names: Vec<_> = found(&mut device).iter().map(|found| (found.incarnation.0, found.number)).collect();
    assert_eq!(names, [(10, 1), (9, 3), (9, 2)]);
    for checkpoint in found(&mut device) {
        assert!(matches!(read_from(&mut device, &checkpoint).0, Read::Whole(_)), "{checkpoint:?}");
    }
}

#[test]
fn every_byte_counts() {
    let (mut device, items) = (blank(4), &many()[..2000]);
    let writer = written(&mut device, 7, &[2, 0], items);
    let checkpoint = found(&mut device).remove(0);
    let places = [(2, 8), (0, writer.pages() - 8)]
        .map(|(segment, pages)| (0..pages).map(move |index| geometry().page(SegmentId(segment), index)));
    assert_eq!(writer.pages(), 11, "headers, items and footer");
    for at in places.into_iter().flatten() {
        let whole = page_at(&mut device, at);
        for byte in 0..PAGE_BYTES {
            let mut flipped = whole.clone();
            flipped.bytes_mut()[byte] ^= 1 << (byte % 8);
            put(&mut device, at, flipped);
            let end = read(&mut Blocking::new(&mut device), &identity(), &checkpoint, &mut |_, _, _| Ok(()));
            assert!(matches!(end, Ok(Read::Not { .. })), "byte {byte} of page {at} went unnoticed");
        }
        // And so does every page: one that was never written ends it too.
        put(&mut device, at, Frames::zeroed(1));
        check_not(&mut device, &checkpoint, &format!("page {at}"));
        assert!(found(&mut device).iter().all(|found| matches!(read_from(&mut device, found).0, Read::Not { .. })));
        put(&mut device, at, whole);
    }
    assert!(matches!(read_from(&mut device, &checkpoint).0, Read::Whole(_)), "it is as it was again");
}

/// Copies a segment's pages to another device.
fn copy_segment(from: &mut MemoryDevice, to: &mut MemoryDevice, segment: u32) {
    let at = geometry().first_page(SegmentId(segment));
    let pages = usize::try_from(SEGMENT_PAGES).expect("eight");
    let frames = Blocking::new(from).read(at, pages).expect("a memory device does not fail");
    put(to, at, frames);
}

#[test]
fn a_segment_of_an_older_checkpoint_is_none_of_this_one() {
    for segment in [2, 0, 1] {
        // Each of the two holds the same items in the same segments.
        let (mut device, mut older) = (blank(4), blank(4));
        written(&mut older, 6, &[2, 0, 1], &many());
        written(&mut device, 7, &[2, 0, 1], &many());
        let checkpoint = found(&mut device).remove(0);
        copy_segment(&mut older, &mut device, segment);
        check_not(&mut device, &checkpoint, "belong there");
        let now = found(&mut device);
        assert_eq!(now.len(), 2, "the older one has a segment again: {now:?}");
        for checkpoint in now {
            check_not(&mut device, &checkpoint, "");
        }
    }
}

#[test]
fn a_page_of_an_earlier_life_is_none_of_this_one() {
    // The same number in another incarnation, or by another shard, or for another domain.
    let others = [
        LogIdentity { incarnation: Incarnation(10), ..log_identity() },
        LogIdentity { log: ShardId(0), ..log_identity() },
        LogIdentity { domain: DomainId(1), ..log_identity() },
        LogIdentity { salt: 1, ..log_identity() },
    ];
    for other in others {
        let (mut device, mut foreign) = (blank(1), blank(1));
        written(&mut device, 7, &[0], &one_of_each()[..3]);
        let checkpoint = found(&mut device).remove(0);
        let mut writer = CheckpointWriter::new(other, geometry(), 7);
        writer.add_segment(SegmentId(0));
        one_of_each().iter().take(1).for_each(|(owner, item)| writer.push(*owner, item, epoch(4)));
        writer.finish(start(), epoch(3), epoch(4));
        write(&mut foreign, &mut writer);
        let last = geometry().page(SegmentId(0), 2);
        let footer = page_at(&mut foreign, last);
        put(&mut device, last, footer);
        check_not(&mut device, &checkpoint, &format!("page {last}"));
    }
}

#[test]
fn a_checkpoint_without_its_footer_does_not_count() {
    let mut device = blank(4);
    // The items fill the segment to its end, or not.
    for items in [&many()[..1500], &many()[..1740]] {
        let mut writer = filled(7, &[1], items);
        writer.end_items();
        write(&mut device, &mut writer);
        let checkpoint = found(&mut device).remove(0);
        let (end, shown) = read_from(&mut device, &checkpoint);
        assert!(matches!(end, Read::Not { .. }), "{end:?}");
        assert_eq!(shown, printed(items), "it shows what there is, and whoever took it drops it");
    }
    let checkpoint = found(&mut device).remove(0);
    check_not(&mut device, &checkpoint, "it has no footer");
}

#[test]
fn a_device_that_ends_too_early_holds_no_checkpoint() {
    let mut device = blank(3);
    written(&mut device, 7, &[0, 2], &many()[..2000]);
    let checkpoint = found(&mut device).remove(0);
    let mut short = MemoryDevice::new(geometry().pages_for(2) + 2);
    copy_segment(&mut device, &mut short, 0);
    for index in 0..2 {
        let at = geometry().page(SegmentId(2), index);
        put(&mut short, at, page_at(&mut device, at));
    }
    check_not(&mut short, &checkpoint, "past the device's end");
}

/// A device one page of which cannot be read.
struct Bad {
    device: MemoryDevice,
    page: PageNo,
    error: DeviceError,
}

impl Device for Bad {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        self.device.submit(tag, request);
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        self.wait(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        // Tags rise, and the requests are single reads: what was read is told from the frames' bytes.
        let before = done.len();
        self.device.wait(done);
        let mut bad = [0; PAGE_BYTES];
        self.device.submit(Tag(u64::MAX), Request::Read { at: self.page, frames: Frames::zeroed(1) });
        let mut read = Vec::new();
        self.device.wait(&mut read);
        bad.copy_from_slice(read[0].frames.as_ref().expect("a read brings its frames home").bytes());
        for completion in &mut done[before..] {
            let frames = completion.frames.as_ref().expect("only reads are asked for");
            if (0..frames.pages()).any(|index| *frames.page(index) == bad) {
                completion.result = Err(self.error);
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.device.in_flight()
    }
}

#[test]
fn a_page_that_cannot_be_read_ends_the_checkpoint_and_not_the_device() {
    let mut device = blank(2);
    written(&mut device, 7, &[0, 1], &many()[..2000]);
    let checkpoint = found(&mut device).remove(0);
    let page = geometry().page(SegmentId(1), 1);
    let mut bad = Bad { device, page, error: DeviceError::Io { errno: 5 } };
    check_not(&mut bad, &checkpoint, &format!("page {page} cannot be read: device error 5"));
    bad.error = DeviceError::Gone;
    let end = read(&mut Blocking::new(&mut bad), &identity(), &checkpoint, &mut |_, _, _| Ok(()));
    assert!(matches!(end, Err(ScanError::Device(_))), "{end:?}");
}

#[test]
fn whoever_looks_on_may_stop() {
    let mut device = blank(1);
    written(&mut device, 7, &[0], &one_of_each()[..1]);
    let checkpoint = found(&mut device).remove(0);
    let end = read(&mut Blocking::new(&mut device), &identity(), &checkpoint, &mut |_, _, _| Err(ScanError::Stopped));
    assert_eq!(end, Err(ScanError::Stopped));
}

/// Any item, with the table that it is of.
fn any_item() -> impl Strategy<Value = (u32, u8, Vec<u8>, u64, u64, u32)> {
    let key = prop::collection::vec(any::<u8>(), 0..300);
    (0..4_u32, 0..7_u8, key, any::<u64>(), any::<u64>(), any::<u32>())
}

fn item_of(sort: u8, key: &[u8], one: u64, two: u64, three: u32) -> Item<'_> {
    let place = Place::new(PageNo(64 + (one & 0xffff_ffff)), 80, three % 60 + 1);
    let flag = three.is_multiple_of(2);
    match sort {
        0 => Item::Hash { high: one, low: u16::try_from(two >> 55).expect("nine bits"), place },
        1 => Item::Ordered { key, place },
        2 => Item::Sack { address: two, place },
        3 => {
            let kind = if flag { IndexKind::HashCompact { skip: 3 } } else { IndexKind::Sack };
            Item::Table { kind, pairs: one, record_bytes: two, expires: flag, named: three.is_multiple_of(3) }
        }
        4 => {
            let segment = SegmentId(three);
            Item::Segment { segment, run: three, used: SegmentUse::Table, named: flag, records: three, pages: 1 }
        }
        5 => Item::Cut { epoch: EpochId(one) },
        _ => Item::Kept { table: TableId(three), place, previous: two >> 9, until_ms: one, bytes: two },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_items_round_trip(drawn in prop::collection::vec(any_item(), 0..400)) {
        let mut device = blank(60);
        let mut writer = CheckpointWriter::new(log_identity(), geometry(), 9);
        let mut wanted = Vec::new();
        for segment in 0..60 {
            writer.add_segment(SegmentId(segment));
        }
        for (owner, sort, key, one, two, three) in &drawn {
            let item = item_of(*sort, key, *one, *two, *three);
            let owner = TableId(if item.sort().is_of_table() { *owner } else { 0 });
            writer.push(owner, &item, epoch(1));
            wanted.push((owner, format!("{item:?}")));
        }
        writer.finish(start(), epoch(1), epoch(2));
        write(&mut device, &mut writer);
        let checkpoint = found(&mut device).remove(0);
        let (end, shown) = read_from(&mut device, &checkpoint);
        prop_assert!(matches!(end, Read::Whole(_)), "{:?}", end);
        prop_assert_eq!(shown, wanted);
    }
}
