use super::*;
use crate::blocking::Blocking;
use crate::device::Device;
use crate::ids::{DomainId, Incarnation, ShardId};
use crate::limits::KEY_BYTES_MAX;
use crate::log::scan::{self, Chain, DeviceIdentity, Seen};
use crate::memory::MemoryDevice;
use crate::segment::Geometry;
use proptest::prelude::*;

const SALT: u32 = 77;
const DOMAIN: DomainId = DomainId(5);
const INCARNATION: Incarnation = Incarnation(3);

fn config(segment_pages: u32) -> LogConfig {
    let identity =
        LogIdentity { domain: DOMAIN, salt: SALT, incarnation: INCARNATION, log: ShardId(0), cut_before: None };
    LogConfig {
        identity,
        segment_pages,
        tail_pages: 8,
        zero_pages: 4,
        segments: 0,
        pages_max: None,
        horizon: EpochId::base(INCARNATION),
    }
}

/// Drives the log's requests until nothing is in flight.
fn settle(log: &mut LogWriter, device: &mut MemoryDevice) {
    loop {
        let (mut requests, mut done) = (Vec::new(), Vec::new());
        log.take_requests(&mut requests);
        if requests.is_empty() {
            return;
        }
        for (tag, request) in requests {
            device.submit(crate::Tag(tag), request);
        }
        device.poll(&mut done);
        for completion in done {
            log.completed(completion.tag.0, completion.result).expect("a memory device does not fail");
        }
    }
}

fn wait_for_room(log: &mut LogWriter, device: &mut MemoryDevice, need: &RoomNeed) {
    for asked in 0..100 {
        match log.room(need, asked > 0) {
            Room::Ready => return,
            Room::Wait => settle(log, device),
            Room::Refused(error) => panic!("a memory device has room: {error}"),
        }
    }
    panic!("room was never made for {need:?}");
}

/// Key and value sizes of the commit sets of a run, one epoch a set.
type Sets = Vec<Vec<(usize, usize)>>;

fn sets() -> impl Strategy<Value = Sets> {
    let value = prop_oneof![0usize..300, 1900usize..2200, 3900usize..4200, 0usize..60_000];
    let record = (0..=KEY_BYTES_MAX.min(300), value);
    prop::collection::vec(prop::collection::vec(record, 1..12), 1..12)
}

fn write_sets(sets: &Sets, segment_pages: u32, device: &mut MemoryDevice) -> Vec<(Vec<u8>, Place)> {
    let mut log = LogWriter::new(config(segment_pages));
    let mut ordinal = 0;
    let mut written = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        let epoch = EpochId::new(INCARNATION, number as u64 + 1);
        let mut need = RoomNeed::default();
        for &(key, value) in set {
            need.add(key, value, false);
        }
        wait_for_room(&mut log, device, &need);
        let before = log.next_seq;
        for &(key, value) in set {
            ordinal += 1;
            let byte = u8::try_from(ordinal % 251).expect("below 251");
            let (key, value) = (vec![byte; key], vec![byte ^ 0x55; value]);
            let version = Version { epoch, ordinal: Ordinal(ordinal) };
            let record = Record::pair(TableId(1), version, &key, &value);
            let place = log.append(epoch, &record, None);
            let bytes = log.read(place).expect("what was just appended is in the tail");
            assert_eq!(record::decode(&bytes).expect("it is whole").0, record);
            drop(bytes);
            written.push((value, place));
        }
        log.close(epoch, 1);
        let pages = log.next_seq - before;
        assert!(pages <= need.pages(), "{pages} pages were taken, {} were the bound", need.pages());
        settle(&mut log, device);
        assert_eq!(log.take_written(), Some(epoch));
        log.persistent(epoch);
        settle(&mut log, device);
    }
    written
}

/// Everything that a scan shows, and how many runs had a summary that served.
fn read_back(device: &mut MemoryDevice, segment_pages: u32, summaries: bool) -> (Vec<Place>, u32) {
    let identity = DeviceIdentity { domain: DOMAIN, salt: SALT, geometry: Geometry::new(segment_pages) };
    let mut device = Blocking::new(device);
    let mut runs = scan::find_runs(&mut device, &identity).expect("a memory device does not fail").runs;
    runs.sort_by_key(|run| run.run.first_seq);
    let (mut places, mut used, mut chain) = (Vec::new(), 0, Chain::default());
    for run in &runs {
        let end = scan::follow(&mut device, &identity, run, chain, summaries, &mut |_, seen| {
            match seen {
                Seen::Record { place, .. } => places.push(place),
                Seen::Item { item, .. } => places.push(item.place),
                Seen::Close { .. } | Seen::Summary { .. } | Seen::Horizon(_) => {}
            }
            Ok(())
        });
        let end = end.expect("what was written can be read");
        used += u32::from(end.summary_used);
        chain = end.chain;
    }
    (places, used)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The bound on room holds, every record can be read from the tail at once, and a scan shows every record where it was
    /// put, from the data as from the summaries.
    #[test]
    fn what_is_appended_is_found_again(sets in sets(), segment_pages in 8u32..40) {
        let mut device = MemoryDevice::new(crate::superblock::SUPERBLOCK_PAGES);
        let written = write_sets(&sets, segment_pages, &mut device);
        let places: Vec<Place> = written.iter().map(|(_, place)| *place).collect();
        let (from_data, none) = read_back(&mut device, segment_pages, false);
        prop_assert_eq!(&from_data, &places);
        prop_assert_eq!(none, 0);
        let (from_summaries, _) = read_back(&mut device, segment_pages, true);
        prop_assert_eq!(&from_summaries, &places);
    }
}

#[test]
fn a_full_run_gets_its_summary_and_the_summary_serves() {
    let mut device = MemoryDevice::new(crate::superblock::SUPERBLOCK_PAGES);
    let sets: Sets = (0..60).map(|_| vec![(8, 1000), (8, 100)]).collect();
    let written = write_sets(&sets, 16, &mut device);
    let (places, used) = read_back(&mut device, 16, true);
    assert_eq!(places.len(), written.len());
    assert!(used >= 3, "{used} summaries served");
}

#[test]
fn a_device_without_room_refuses_and_the_next_try_asks_again() {
    let mut device = MemoryDevice::with_pages_max(crate::superblock::SUPERBLOCK_PAGES, 70);
    let mut log = LogWriter::new(config(16));
    let need = RoomNeed::default();
    for _ in 0..3 {
        let mut answer = log.room(&need, false);
        for _ in 0..10 {
            if answer != Room::Wait {
                break;
            }
            settle(&mut log, &mut device);
            answer = log.room(&need, true);
        }
        assert!(matches!(answer, Room::Refused(DeviceError::NoSpace { .. })), "{answer:?}");
    }
    device.set_pages_max(1000);
    wait_for_room(&mut log, &mut device, &need);
}

/// Who had waited has gone, and who came next was told of a device that was full once.
#[test]
fn a_refusal_is_told_to_nobody_who_did_not_wait_for_it() {
    let mut device = MemoryDevice::with_pages_max(crate::superblock::SUPERBLOCK_PAGES, 70);
    let mut log = LogWriter::new(config(16));
    let need = RoomNeed::default();
    assert_eq!(log.room(&need, false), Room::Wait);
    settle(&mut log, &mut device);
    device.set_pages_max(1000);
    assert_eq!(log.room(&need, false), Room::Wait);
    settle(&mut log, &mut device);
    assert_eq!(log.room(&need, true), Room::Ready);
}

#[test]
fn a_failed_page_write_is_final() {
    let mut log = LogWriter::new(config(16));
    let mut device = MemoryDevice::new(crate::superblock::SUPERBLOCK_PAGES);
    wait_for_room(&mut log, &mut device, &RoomNeed::default());
    let epoch = EpochId::new(INCARNATION, 1);
    let record = pair(epoch, b"k", b"v");
    log.append(epoch, &record, None);
    log.close(epoch, 1);
    let mut requests = Vec::new();
    log.take_requests(&mut requests);
    let (tag, _) = requests.iter().find(|(_, request)| matches!(request, Request::Write { .. })).expect("a page write");
    let failure = DeviceError::Io { errno: 5 };
    assert_eq!(log.completed(*tag, Err(failure)), Err(failure));
    assert_eq!(log.take_written(), None, "an epoch whose page failed is never reported written");
}

/// Commits once hung here until their epoch's timer: a tail smaller than the pages that are gathered before a write let nothing
/// be sent, and the commit waited for just that.
#[test]
fn a_commit_that_waits_for_written_pages_sends_them() {
    let mut device = MemoryDevice::new(crate::superblock::SUPERBLOCK_PAGES);
    let mut log = LogWriter::new(LogConfig { tail_pages: 1, ..config(64) });
    let epoch = EpochId::new(INCARNATION, 1);
    for ordinal in 1..60 {
        let mut need = RoomNeed::default();
        need.add(1, 3000, false);
        wait_for_room(&mut log, &mut device, &need);
        let version = Version { epoch, ordinal: Ordinal(ordinal) };
        log.append(epoch, &Record::pair(TableId(1), version, b"k", &[7; 3000]), None);
    }
}

fn pair<'a>(epoch: EpochId, key: &'a [u8], value: &'a [u8]) -> Record<'a> {
    Record::pair(TableId(1), Version { epoch, ordinal: Ordinal(1) }, key, value)
}

/// A record that takes two writes is in memory until the second is done: from the device half of it would be read.
#[test]
fn a_large_record_stays_in_memory_until_its_end_is_written() {
    let mut log = LogWriter::new(config(1024));
    let mut device = MemoryDevice::new(crate::superblock::SUPERBLOCK_PAGES);
    let value = vec![7; 300 * PAGE_PAYLOAD_BYTES];
    let mut need = RoomNeed::default();
    need.add(1, value.len(), false);
    wait_for_room(&mut log, &mut device, &need);
    let epoch = EpochId::new(INCARNATION, 1);
    let place = log.append(epoch, &pair(epoch, b"k", &value), None);
    log.close(epoch, 1);
    let mut requests = Vec::new();
    log.take_requests(&mut requests);
    requests.retain(|(_, request)| matches!(request, Request::Write { .. }));
    assert!(requests.len() >= 2, "one write was enough");
    let (last, _) = requests.pop().expect("just counted");
    for (tag, _) in requests {
        log.completed(tag, Ok(())).expect("it was written");
    }
    log.drop_tail();
    let bytes = log.read(place).expect("its end is not on the device yet");
    assert_eq!(record::decode(&bytes).expect("it is whole").0.value, value);
    log.completed(last, Ok(())).expect("it was written");
    assert!(log.read(place).is_some(), "nothing has dropped it");
    log.drop_tail();
    assert!(log.read(place).is_none(), "it can be read from the device");
}

/// A set that turns out to change nothing may have begun a run, whose header is then all there is to write.
#[test]
fn a_header_without_records_does_not_hold_up_a_large_set() {
    let mut log = LogWriter::new(config(64));
    let mut device = MemoryDevice::new(crate::superblock::SUPERBLOCK_PAGES);
    wait_for_room(&mut log, &mut device, &RoomNeed::default());
    let mut need = RoomNeed::default();
    need.add(1, 20 * PAGE_PAYLOAD_BYTES, false);
    wait_for_room(&mut log, &mut device, &need);
}

/// A page that is right in itself, has the right number and lies in the right place, but was written behind another page than the
/// one that is there: what a second life of one incarnation would leave. Nothing but the checksum of the page before tells.
#[test]
fn a_page_that_follows_another_page_ends_the_log() {
    let write = |value: usize| {
        let mut device = MemoryDevice::new(crate::superblock::SUPERBLOCK_PAGES);
        let written = write_sets(&vec![vec![(8, value)], vec![(8, 100)], vec![(8, 100)]], 16, &mut device);
        (device, written)
    };
    let ((mut ours, written), (mut others, _)) = (write(200), write(300));
    assert_eq!(read_back(&mut ours, 16, false).0.len(), 3);
    let second = written[1].1.page();
    let page = Blocking::new(&mut others).read(second, 1).unwrap();
    assert!(page::parse(page.page(0), SALT).is_ok());
    Blocking::new(&mut ours).write_each(vec![(second, page)]).unwrap();
    assert_eq!(read_back(&mut ours, 16, false).0, [written[0].1], "the log ends before the page that does not follow");
}
