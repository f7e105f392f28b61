//! Valid inputs: what each target begins with. They are made here and kept in `tests/fuzz`, so that a change of a format shows.

use super::stored::{PREVIOUS, SALT, checkpoint_writer, last_page, segment};
use domains::schema::envelope::{EnvelopeWriter, Rest};
use domains::schema::keys::KeyBuf;
use domains::schema::{Field, FieldType, Rule, TableHome, TableKind, TableSpec};
use segments::checkpoint::{IndexKind, Item, SegmentUse, Start};
use segments::log::scan::Chain;
use segments::page::{self, PAGE_HEADER_BYTES, PageHeader, PageKind};
use segments::record::{self, Extent, Extents, Record, RecordKind, Revertible};
use segments::segment::Geometry;
use segments::summary::{ItemKind, Sealed, SummaryBuilder, SummaryItem, SummaryKey};
use segments::superblock::Superblock;
use segments::{DomainId, EpochId, Incarnation, Ordinal, PAGE_BYTES, Place, SegmentId, ShardId, TableId, Version};

/// Bytes of a copy of the superblock that are not zero.
const COPY_BYTES: usize = 144;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(super) fn resp() -> Vec<Vec<u8>> {
    texts(&[
        "*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n0123456789\r\n*1\r\n$4\r\nPING\r\n",
        "PING\r\nset 'a b' \"x\\x41\\n\"\n\r\n",
        "*0\r\n*-1\r\n*1\r\n$0\r\n\r\n",
        "*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$2\r\n\r\n\r\n",
    ])
}

pub(super) fn http() -> Vec<Vec<u8>> {
    texts(&[
        "GET /metrics HTTP/1.1\r\nHost: l\r\n\r\n",
        "HEAD /readyz?verbose=1 HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nX: \t y \r\n\r\nhello",
    ])
}

pub(super) fn patterns() -> Vec<Vec<u8>> {
    texts(&["h[a-c]*lo?hello.", "*a*b*c*d.aabbccdd", "\\*[^a]??*]a-[b.*bcd]-[", "user:[0-9]*user:1234"])
}

pub(super) fn frames() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/wire/v1");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden frames are in the project")
        .map(|entry| entry.expect("a folder of files").path())
        .collect();
    files.sort();
    files.into_iter().map(|file| unhex(&std::fs::read_to_string(file).expect("a golden frame"))).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn version(number: u64) -> Version {
    Version { epoch: EpochId::new(Incarnation(3), number), ordinal: Ordinal(number * 7) }
}

pub(super) fn records() -> Vec<Vec<u8>> {
    let places = [Extent { place: Place::new(segments::PageNo(77), 80, 1), bytes: 100, crc: 5 }];
    let extents = Extents::encode(&places);
    let pair = Record::pair(TableId(260), version(9), b"a key of it", b"and the value, which is a little longer");
    let lease = Some(Revertible { previous: 5 << 20, until_ms: 1 << 40 });
    let members = 1u32.to_le_bytes();
    let all = [
        pair,
        Record { expires_ms: Some(1_600_000_000_000), compressed: true, ..pair },
        Record { revertible: lease, value: b"", ..pair },
        Record { extents: Extents::new(&extents), ..pair },
        Record { kind: RecordKind::Tombstone, value: b"", ..pair },
        Record { kind: RecordKind::Extent, key: b"", ..pair },
        Record::close(version(10), &members),
    ];
    let encoded = |record: &Record<'_>| {
        let mut bytes = vec![0; record.encoded_bytes()];
        record::encode(record, &mut bytes);
        bytes
    };
    all.iter().map(encoded).collect()
}

pub(super) fn pages() -> Vec<Vec<u8>> {
    let header = PageHeader {
        kind: PageKind::Log,
        previous: 17,
        used: 300,
        log: ShardId(0),
        incarnation: Incarnation(3),
        segment: SegmentId(5),
        index: 9,
        seq: 99,
        epoch: EpochId::new(Incarnation(3), 12),
        horizon: EpochId::new(Incarnation(3), 11),
        owner: TableId(0),
        domain: 0x77,
    };
    let mut log = vec![0; PAGE_BYTES];
    let bytes: &mut [u8; PAGE_BYTES] = log.as_mut_slice().try_into().expect("a page");
    page::payload_mut(bytes)[..300].fill(0xab);
    page::seal(bytes, &header, SALT);
    let mut first = vec![0; PAGE_BYTES];
    let bytes: &mut [u8; PAGE_BYTES] = first.as_mut_slice().try_into().expect("a page");
    segment().seal(bytes, PREVIOUS, EpochId::new(Incarnation(9), 4), TableId(0), SALT);
    vec![log, first]
}

pub(super) fn copies() -> Vec<Vec<u8>> {
    let formatted = Superblock::formatted(DomainId(7), SALT, [9; 16], 64, 1);
    let begun = formatted.with_recovery(EpochId::base(Incarnation(0)), 1, 64, |_| false).expect("there is room");
    let cut = EpochId::new(Incarnation(1), 55);
    let again = begun.with_recovery(cut, 1, 128, |_| false).expect("there is room");
    let closed = again.with_close(EpochId::new(Incarnation(2), 3), 192);
    let cut = |(copy, superblock): (u8, &Superblock)| superblock.encode(copy).bytes()[..COPY_BYTES].to_vec();
    (0..).zip([&formatted, &begun, &again, &closed]).map(cut).collect()
}

pub(super) fn summaries() -> Vec<Vec<u8>> {
    let sealed = Sealed {
        segment: segment(),
        previous: PREVIOUS,
        log_pages: 40,
        last_checksum: 0x0c0c_0c0c,
        owner: TableId(0),
        highest_epoch: EpochId::new(Incarnation(9), 70),
        persistent: EpochId::new(Incarnation(9), 71),
        closed: None,
    };
    let summary_of = |items: u32| {
        let mut builder = SummaryBuilder::new();
        for number in 0..items {
            let page = Geometry::new(64).page(SegmentId(5), number % 39 + 1);
            builder.push(&SummaryItem {
                kind: if number % 3 == 0 { ItemKind::Tombstone } else { ItemKind::Pair },
                table: TableId(7),
                version: Version { epoch: EpochId::new(Incarnation(9), 70), ordinal: Ordinal(number.into()) },
                place: Place::new(page, 80, 1),
                key: if number % 5 == 0 { SummaryKey::Key(b"a whole key") } else { SummaryKey::Hash(number.into()) },
                expires_ms: (number % 2 == 0).then_some(0x7172_7374),
                revertible: (number % 15 == 2).then_some(Revertible { previous: 1 << 40, until_ms: 5 }),
                live_bytes: (number % 12 == 7).then_some(0x8182_8384),
            });
        }
        let summary = builder.finish(&sealed, SALT);
        let pages = summary.pages.as_ref().map_or(&[][..], |pages| pages.bytes());
        [summary.footer.bytes(), pages].concat()
    };
    vec![summary_of(0), summary_of(20), summary_of(60)]
}

/// A page of each sort of items, and a footer, each up to its last byte in use.
pub(super) fn checkpoints() -> Vec<Vec<u8>> {
    let place = |number| Place::new(segments::PageNo(1000 + number), 88, 1);
    let hash = |number: u64| Item::Hash { high: number << 40, low: 0x155, place: place(number) };
    let segment = |number, run, used| {
        let segment = SegmentId(number);
        Item::Segment { segment, run, used, named: run > 0, records: 77 * number, pages: 5 }
    };
    let table = |kind| Item::Table { kind, pairs: 3, record_bytes: 300, expires: true, named: false };
    let kept = |previous| Item::Kept { table: TableId(9), place: place(1), previous, until_ms: 1 << 41, bytes: 5 };
    let pages: [(u32, Vec<Item<'_>>); 7] = [
        (9, (0..9).map(hash).collect()),
        (9, vec![Item::Ordered { key: b"", place: place(1) }, Item::Ordered { key: b"a key of it", place: place(2) }]),
        (9, (0..3).map(|number| Item::Sack { address: number, place: place(number) }).collect()),
        (9, [IndexKind::HashWide, IndexKind::HashCompact { skip: 3 }, IndexKind::Ordered].map(table).into()),
        (0, vec![segment(0, 2, SegmentUse::Log), segment(1, 0, SegmentUse::Body), segment(2, 0, SegmentUse::Free)]),
        (0, (1..4).map(|number| Item::Cut { epoch: EpochId::new(Incarnation(2), number) }).collect()),
        (0, vec![kept(0), kept(place(3).to_bits())]),
    ];
    let items = pages.iter().map(|(owner, items)| {
        let mut writer = checkpoint_writer(Incarnation(3), 7);
        items.iter().for_each(|item| writer.push(TableId(*owner), item, EpochId::new(Incarnation(3), 4)));
        writer.end_items();
        last_page(&mut writer)
    });
    let mut empty = checkpoint_writer(Incarnation(3), 7);
    let start = Start {
        incarnation: Incarnation(3),
        log: ShardId(0),
        chain: Chain { next_seq: 99, previous: PREVIOUS },
        closed: EpochId::new(Incarnation(3), 1),
    };
    empty.finish(start, EpochId::new(Incarnation(3), 4), EpochId::new(Incarnation(3), 5));
    let in_use = |page: Box<[u8; PAGE_BYTES]>| {
        let header = page::parse(&page, SALT).expect("it was sealed just now");
        page[..PAGE_HEADER_BYTES + usize::from(header.used)].to_vec()
    };
    items.chain([last_page(&mut empty)]).map(in_use).collect()
}

pub(super) fn keys() -> Vec<Vec<u8>> {
    // The types of the fields are those that the first byte stands for: see `key_fields`.
    let mut number = KeyBuf::new();
    number.push_unsigned(513, 2);
    let mut three = KeyBuf::new();
    three.push_bytes(b"a\0b");
    three.push_signed(-5, 8);
    three.push_bytes("text".as_bytes());
    vec![[&[0][..], &number].concat(), [&[0b1011_0110][..], &three].concat()]
}

pub(super) fn envelopes() -> Vec<Vec<u8>> {
    let (mut record, rest) = (Vec::new(), Rest::default());
    let mut writer = EnvelopeWriter::new(&mut record, 4, &rest);
    writer.field(&7_u32).expect("a number is written");
    writer.bytes(b"a name of some length");
    writer.field(&Some("text")).expect("a text is written");
    writer.bytes(b"");
    writer.finish();
    vec![record, vec![1, 0]]
}

pub(super) fn specs() -> Vec<Vec<u8>> {
    let field = |name: &str, field_type| Field { name: name.into(), field_type };
    let spec = TableSpec {
        type_name: "inode".into(),
        kind: TableKind::Ordered,
        home: TableHome::Persistent,
        key: vec![field("ino", FieldType::Unsigned(64)), field("name", FieldType::Text)],
        record: vec![
            field("parent", FieldType::Pointer { table: "inode".into() }),
            field("mode", FieldType::Signed(16)),
            field("data", FieldType::Other("Vec<Extent>".into())),
        ],
        pairs_hint: 1000,
        rules: Vec::new(),
    };
    let plain = TableSpec { kind: TableKind::Hash, key: Vec::new(), record: Vec::new(), pairs_hint: 0, ..spec.clone() };
    let compact = TableSpec { rules: vec![Rule::CompactSlots], ..plain.clone() };
    vec![spec.to_bytes(), plain.to_bytes(), compact.to_bytes()]
}
