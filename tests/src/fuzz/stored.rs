//! Targets of what a device gives back: records, pages, copies of the superblock, summaries, pages of checkpoints, and what tables hold.

use domains::schema::envelope::{EnvelopeReader, EnvelopeWriter, Rest, field, field_bytes, pointer_target};
use domains::schema::{Field, FieldType, TableSpec, keys as codec};
use segments::checkpoint::{self, CheckpointWriter, Content};
use segments::checksum::checksum;
use segments::log::LogIdentity;
use segments::page::{self, PageDamage, PageError, PageHeader};
use segments::record::{self, Record, RecordError};
use segments::segment::{Geometry, Purpose, SegmentHeader};
use segments::summary::{Footer, SummaryReader};
use segments::superblock::Superblock;
use segments::{DomainId, EpochId, Frames, Incarnation, PAGE_BYTES, SegmentId, ShardId};

/// The salt of the pages.
pub(super) const SALT: u32 = 0x5a17_5a17;
/// The checksum of the page before the summary's segment.
pub(super) const PREVIOUS: u32 = 0x0b0b_0b0b;
/// Bytes of a copy of the superblock.
const COPY_BYTES: usize = 64 << 10;

/// A record with right checksums, as far as it is one.
pub(super) fn repaired_record(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    // Of the header, of the value, and of the header again, which holds the value's.
    for _ in 0..3 {
        let (at, sum) = match record::decode(&bytes) {
            Err(RecordError::HeaderChecksum { expected, .. }) => (0, expected),
            Err(RecordError::ValueChecksum { expected, .. }) => (4, expected),
            Ok(_) | Err(RecordError::Short { .. } | RecordError::Field { .. }) => break,
        };
        bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// Records, one behind the other.
///
/// # Panics
/// When a record is not written as it was read.
pub fn records(input: &[u8]) -> usize {
    one_record(input) + one_record(&repaired_record(input))
}

fn one_record(bytes: &[u8]) -> usize {
    let head = record::head(bytes).ok();
    let Ok((found, size)) = record::decode(bytes) else { return 0 };
    let head = head.expect("a whole record has a head");
    assert_eq!((head.key, head.value_bytes, head.record_bytes), (found.key, found.value.len(), size));
    assert!(size <= bytes.len(), "a record of {size} bytes in {}", bytes.len());
    assert_eq!(found.encoded_bytes(), size);
    let mut again = vec![0xee; size];
    assert_eq!(record::encode(&found, &mut again), size);
    assert_eq!(again, bytes[..size], "a record is written as it was read: {found:?}");
    assert_eq!(members(&found), head.members());
    1
}

fn members(record: &Record<'_>) -> Option<u32> {
    let close = record.kind == record::RecordKind::Close;
    close.then(|| u32::from_le_bytes(record.key.try_into().expect("the key of a close record has four bytes")))
}

/// The input as a page: cut, or with zeros behind it.
fn page_of(input: &[u8]) -> Box<[u8; PAGE_BYTES]> {
    let mut page = Box::new([0; PAGE_BYTES]);
    let bytes = input.len().min(PAGE_BYTES);
    page[..bytes].copy_from_slice(&input[..bytes]);
    page
}

fn repair_page(page: &mut [u8; PAGE_BYTES]) {
    if let Err(PageError::Damaged(PageDamage::Checksum { expected, .. })) = page::parse(page, SALT) {
        page[..4].copy_from_slice(&expected.to_le_bytes());
    }
}

/// A page of the log or of anything else, and a segment's header.
///
/// # Panics
/// When a page is not sealed as it was read.
pub fn pages(input: &[u8]) -> usize {
    let mut page = page_of(input);
    let found = one_page(&page);
    repair_page(&mut page);
    found + one_page(&page)
}

fn one_page(page: &[u8; PAGE_BYTES]) -> usize {
    let Ok(header) = page::parse(page, SALT) else { return 0 };
    let payload = page::payload(page, &header);
    assert_eq!(payload.len(), usize::from(header.used));
    let mut again = [0xee; PAGE_BYTES];
    page::payload_mut(&mut again)[..payload.len()].copy_from_slice(payload);
    page::seal(&mut again, &header, SALT);
    // What stands behind the payload says nothing; all else is as it was.
    let end = PAGE_BYTES - page::PAGE_PAYLOAD_BYTES + payload.len();
    assert_eq!(again[4..end], page[4..end], "a page is sealed as it was read: {header:?}");
    let Ok((segment, of)) = SegmentHeader::parse(page, SALT) else { return 1 };
    let mut again = [0xee; PAGE_BYTES];
    segment.seal(&mut again, of.previous, of.horizon, of.owner, SALT);
    // The page's own header has fields that are not the segment's and that no reader asks it for, its epoch for one.
    let (same, by) = SegmentHeader::parse(&again, SALT).expect("it was sealed just now");
    assert_eq!(same, segment, "a segment's header is sealed as it was read");
    assert_eq!((by.previous, by.horizon, by.owner), (of.previous, of.horizon, of.owner));
    2
}

/// Two copies of the superblock; the input is their beginning, zeros come behind it.
///
/// # Panics
/// When a superblock is not written as it was read.
pub fn copies(input: &[u8]) -> usize {
    let mut bytes = vec![0; COPY_BYTES];
    let used = input.len().min(COPY_BYTES);
    bytes[..used].copy_from_slice(&input[..used]);
    let found = one_superblock(&bytes);
    let sum = checksum(checksum(0, &bytes[..12]), &bytes[16..]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    found + one_superblock(&bytes)
}

fn one_superblock(bytes: &[u8]) -> usize {
    let copy = bytes[16];
    let mut other = bytes.to_vec();
    other[16] = copy.wrapping_add(1) % 4;
    let sum = checksum(checksum(0, &other[..12]), &other[16..]);
    other[12..16].copy_from_slice(&sum.to_le_bytes());
    let mut copies = [None; 4];
    for (at, bytes) in [(copy, bytes), (other[16], other.as_slice())] {
        if let Some(place) = copies.get_mut(usize::from(at)) {
            *place = Some(bytes);
        }
    }
    let Ok(choice) = Superblock::choose(copies) else { return 0 };
    assert_eq!(choice.superblock.encode(copy).bytes(), bytes, "a superblock is written as it was read: {choice:?}");
    1
}

/// The segment that the summary is of.
pub(super) fn segment() -> SegmentHeader {
    SegmentHeader {
        domain: DomainId(0x1234),
        segment: SegmentId(5),
        segment_pages: 64,
        run: 1,
        log: ShardId(0),
        purpose: Purpose::Log,
        incarnation: Incarnation(9),
        first_seq: 77,
        cut_before: None,
    }
}

/// The footer of a summary, and the pages before it: the input's first page and those behind.
///
/// # Panics
/// When more comes out than went in.
pub fn summaries(input: &[u8]) -> usize {
    let mut pages: Vec<_> = input.chunks(PAGE_BYTES).take(3).map(page_of).collect();
    let found = one_summary(&pages);
    pages.iter_mut().for_each(|page| repair_page(page));
    found + one_summary(&pages)
}

fn one_summary(pages: &[Box<[u8; PAGE_BYTES]>]) -> usize {
    let Some((footer, items)) = pages.split_first() else { return 0 };
    let Ok(footer) = Footer::parse(footer, SALT, &segment(), PREVIOUS) else { return 0 };
    let frames = (!items.is_empty()).then(|| {
        let mut frames = Frames::zeroed(items.len());
        for (at, page) in items.iter().enumerate() {
            frames.page_mut(at).copy_from_slice(&page[..]);
        }
        frames
    });
    let Ok(reader) = SummaryReader::open(footer, &segment(), frames.as_ref(), SALT) else { return 1 };
    let count = reader.items().count();
    assert_eq!(u32::try_from(count), Ok(reader.footer().items));
    assert!(count <= items.len() * PAGE_BYTES / 32, "{count} items in {} pages", items.len());
    1 + count
}

/// A page of a checkpoint: items, or the footer.
///
/// # Panics
/// When items or a footer are not written as they were read.
pub fn checkpoints(input: &[u8]) -> usize {
    let mut page = page_of(input);
    let found = one_of_checkpoint(&page);
    repair_page(&mut page);
    found + one_of_checkpoint(&page)
}

/// A checkpoint's writer whose first page has a header like this one.
pub(super) fn checkpoint_writer(incarnation: Incarnation, number: u32) -> CheckpointWriter {
    let (domain, log) = (DomainId(0x1234), ShardId(0));
    let identity = LogIdentity { domain, salt: SALT, incarnation, log, cut_before: None };
    let mut writer = CheckpointWriter::new(identity, Geometry::new(8), number);
    writer.add_segment(SegmentId(5));
    writer
}

/// The last of the pages that a writer has sealed.
pub(super) fn last_page(writer: &mut CheckpointWriter) -> Box<[u8; PAGE_BYTES]> {
    let mut writes = Vec::new();
    writer.take_writes(&mut writes);
    let (_, frames) = writes.last().expect("something was sealed");
    Box::new(*frames.page(frames.pages() - 1))
}

fn one_of_checkpoint(page: &[u8; PAGE_BYTES]) -> usize {
    let Ok((header, content)) = checkpoint::content(page, SALT) else { return 0 };
    let payload_of = |page: &[u8; PAGE_BYTES], header: &PageHeader| page::payload(page, header).to_vec();
    let mut writer = checkpoint_writer(header.incarnation, (header.seq >> 32).try_into().expect("32 bits remain"));
    let found = match content {
        Content::Items(items) => {
            let (owner, count) = (items.owner(), items.left());
            let items: Result<Vec<_>, _> = items.collect();
            let Ok(items) = items else { return 0 };
            assert_eq!(u32::try_from(items.len()), Ok(count), "a page has the items that it counts");
            items.iter().for_each(|item| writer.push(owner, item, EpochId(0)));
            writer.end_items();
            items.len()
        }
        // Another page cannot have come before the footer that is written here; all else is as it was.
        Content::Footer(footer) if (footer.pages, footer.items) == (1, 0) => {
            writer.finish(footer.start, footer.applied, footer.persistent);
            1
        }
        Content::Footer(_) => return 1,
    };
    let again = last_page(&mut writer);
    let by = page::parse(&again, SALT).expect("it was sealed just now");
    assert_eq!((by.kind, by.owner), (header.kind, header.owner));
    assert_eq!(payload_of(&again, &by), payload_of(page, &header), "a page is written as it was read: {header:?}");
    found
}

/// Fields of a key, chosen by a byte: each two bits a type.
fn key_fields(choice: u8) -> Vec<Field> {
    let of = |bits: u8| match bits {
        0 => FieldType::Unsigned(16),
        1 => FieldType::Signed(64),
        2 => FieldType::Bytes,
        _ => FieldType::Text,
    };
    let count = usize::from(choice >> 6) + 1;
    let types = (0..count.min(3)).map(|at| of(choice >> (2 * at) & 3));
    types.map(|field_type| Field { name: "field".into(), field_type }).collect()
}

/// A key; the first byte says of which fields.
///
/// # Panics
/// When a key is not encoded as it was decoded, or its order is not that of its bytes.
pub fn keys(input: &[u8]) -> usize {
    let Some((choice, key)) = input.split_first() else { return 0 };
    let fields = key_fields(*choice);
    let Ok(values) = codec::decode(&fields, key) else { return 0 };
    let again = codec::encode(&fields, &values).expect("values that were decoded are encoded");
    assert_eq!(&again[..], key, "a key is encoded as it was decoded: {values:?}");
    if let Some(end) = codec::prefix_end(key) {
        assert!(end.as_slice() > key && !end.starts_with(key), "a prefix's end is behind all that begin with it");
    }
    1
}

/// A record of a typed table.
///
/// # Panics
/// When a record is not written as it was read.
pub fn envelopes(input: &[u8]) -> usize {
    let Ok(mut reader) = EnvelopeReader::new(input) else { return 0 };
    let count = reader.fields_left();
    let mut found = 0;
    while let Ok(Some(bytes)) = reader.next_field() {
        assert_eq!(field(input, found), Ok(Some(bytes)), "a field is found as it is read");
        if let (Ok(inner), Ok(target)) = (field_bytes(bytes), pointer_target(bytes)) {
            assert_eq!(target, Some(inner).filter(|inner| !inner.is_empty()));
        }
        found += 1;
    }
    let Ok(rest) = EnvelopeReader::new(input).and_then(EnvelopeReader::rest) else { return found };
    assert_eq!((found, rest.fields()), (count, count));
    let mut again = Vec::new();
    EnvelopeWriter::new(&mut again, 0, &rest).finish();
    let same: Rest = EnvelopeReader::new(&again).and_then(EnvelopeReader::rest).expect("we wrote it");
    assert_eq!(same, rest, "fields that nobody knows are carried on as they are");
    found + 1
}

/// A table's description, as the catalog has it.
///
/// # Panics
/// When a description is not the same after it was written.
pub fn specs(input: &[u8]) -> usize {
    let Ok(spec) = TableSpec::from_bytes(input) else { return 0 };
    assert_eq!(TableSpec::from_bytes(&spec.to_bytes()), Ok(spec));
    1
}
