//! Typed tables, pointers, sacks, volatile tables, and what opening refuses.

use super::{Dirent, Inode, dirent, inode, open};
use lostore::schema::{Field, FieldType, Rule, TableHome, TableKind, TableSpec};
use lostore::{Address, Error, ErrorKind, Expect, Follow, Ptr, PutOptions, TableType, plain_spec};

#[test]
fn five_minutes_in_rust() {
    let (store, dirents, inodes) = open();
    let mut txn = store.txn();
    txn.insert(&inodes, Inode { ino: 7, mode: 0o644, size: 0 }).unwrap();
    txn.insert(&dirents, Dirent { parent: 1, name: b"a".into(), ino: Ptr::to(7) }).unwrap();
    let ticket = txn.commit().unwrap();
    ticket.persistent().unwrap();
    let mut seen = Vec::new();
    for found in dirents.range((1, b"")..).take(10) {
        let found = found.unwrap();
        seen.push((found.name.clone(), store.follow(&found.ino).unwrap().unwrap().ino));
    }
    assert_eq!(seen, [(b"a".to_vec(), 7)]);
}

#[test]
fn the_catalog_knows_the_types() {
    let spec = Dirent::spec();
    let field = |name: &str, field_type| Field { name: name.into(), field_type };
    assert_eq!(
        (spec.type_name.as_str(), spec.kind, spec.home, spec.pairs_hint),
        ("Dirent", TableKind::Ordered, TableHome::Persistent, 1000)
    );
    assert_eq!(spec.key, [field("parent", FieldType::Unsigned(64)), field("name", FieldType::Bytes)]);
    assert_eq!(spec.record, [field("ino", FieldType::Pointer { table: "inode".into() })]);
    assert_eq!(Inode::spec().kind, TableKind::Hash);
    assert_eq!((Dirent::NAME, Inode::NAME, Inode::FIELDS), ("dirent", "inode", 2));
    let (store, ..) = open();
    let names: Vec<_> = store.tables().unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["dirent", "inode"]);
}

#[test]
fn single_updates_check_presence() {
    let (_store, _dirents, inodes) = open();
    inodes.insert(inode(1)).unwrap();
    assert_eq!(inodes.insert(inode(1)).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(inodes.update(inode(2)).unwrap_err().code(), 303);
    inodes.upsert(inode(2)).unwrap();
    assert!(inodes.contains(2).unwrap());
    inodes.delete(2).unwrap();
    assert_eq!(inodes.delete(2).unwrap_err().code(), 303);
    inodes.remove(2).unwrap();
    assert_eq!(inodes.get(2).unwrap(), None);
    assert_eq!(inodes.get(1).unwrap().unwrap().into_record(), inode(1));
}

#[test]
fn a_record_found_is_replaced_only_unchanged() {
    let (_store, _dirents, inodes) = open();
    inodes.insert(inode(1)).unwrap();
    let mut mine = inodes.get(1).unwrap().unwrap();
    let mut theirs = inodes.get(1).unwrap().unwrap();
    mine.size = 5;
    theirs.size = 6;
    inodes.replace(&theirs).unwrap();
    assert_eq!(inodes.replace(&mine).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(inodes.get(1).unwrap().unwrap().size, 6);
}

#[test]
fn records_are_seen_in_place() {
    let (_store, _dirents, inodes) = open();
    inodes.insert(inode(3)).unwrap();
    let size = inodes.get_with(3, |record| record.map(|record| record.field(1).unwrap().map(<[u8]>::to_vec))).unwrap();
    assert_eq!(size, Some(Some(vec![30])));
    assert!(inodes.get_with(4, |record| record.is_none()).unwrap());
}

#[test]
fn following_a_field_is_one_operation_with_five_ends() {
    let (store, dirents, inodes) = open();
    inodes.insert(inode(7)).unwrap();
    dirents.insert(dirent(1, b"there", 7)).unwrap();
    dirents.insert(dirent(1, b"gone", 8)).unwrap();
    dirents.insert(Dirent { parent: 1, name: b"null".into(), ino: Ptr::null() }).unwrap();
    store.backend().take_operations();
    let Follow::Found { from, to } = dirents.follow((1, b"there"), Dirent::INO).unwrap() else {
        panic!("it leads elsewhere")
    };
    assert_eq!((from.into_record(), to.into_record()), (dirent(1, b"there", 7), inode(7)));
    assert_eq!(store.backend().take_operations(), ["follow"]);
    assert!(matches!(dirents.follow((1, b"null"), Dirent::INO).unwrap(), Follow::Null { from } if from.ino.is_null()));
    assert_eq!(dirents.follow((1, b"absent"), Dirent::INO).unwrap(), Follow::Absent);
    let Follow::Dangling { target, .. } = dirents.follow((1, b"gone"), Dirent::INO).unwrap() else {
        panic!("it leads elsewhere")
    };
    assert_eq!(target.key().unwrap(), Some(8));
    assert_eq!(inodes.raw().follow(&[0; 8], 0).unwrap_err().code(), 206, "mode is not a pointer");
}

#[test]
fn a_pointer_is_followed_alone() {
    let (store, dirents, inodes) = open();
    inodes.insert(inode(7)).unwrap();
    dirents.insert(dirent(1, b"a", 7)).unwrap();
    let pointer = dirents.get((1, b"a")).unwrap().unwrap().ino.clone();
    assert_eq!(store.follow(&pointer).unwrap().unwrap().ino, 7);
    assert_eq!(inodes.target(&pointer).unwrap().unwrap().ino, 7);
    assert_eq!(store.follow(&Ptr::<Inode>::null()).unwrap(), None);
    assert_eq!(store.follow(&Ptr::<Inode>::to(8)).unwrap(), None);
    store.destroy_table("inode").unwrap();
    assert_eq!(store.follow(&pointer).unwrap_err().code(), 201);
    assert_eq!(inodes.get(7).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_table_made_anew_under_the_same_name_is_found() {
    let (store, _dirents, _inodes) = open();
    // A second program destroys and makes the table, so this one's memory of the name is old.
    let backend = store.backend();
    let op = domains::Op::DestroyTable { name: "inode".into() };
    lostore::Backend::wait(backend, lostore::Backend::start(backend, op).unwrap()).unwrap();
    let op = domains::Op::CreateTable { name: "inode".into(), spec: Inode::spec() };
    lostore::Backend::wait(backend, lostore::Backend::start(backend, op).unwrap()).unwrap();
    assert_eq!(store.follow(&Ptr::<Inode>::to(8)).unwrap(), None);
}

#[derive(TableType, Clone, PartialEq, Debug)]
#[table(sack)]
struct Blob {
    bytes: Vec<u8>,
    next: Ptr<Blob>,
}

#[derive(TableType)]
#[table(name = "files", volatile)]
struct Handle {
    #[key]
    id: i32,
    #[key]
    open: bool,
    #[pointer("blob")]
    content: Ptr<Blob>,
}

#[test]
fn a_sack_gives_addresses_at_once() {
    let (store, ..) = open();
    let blobs = store.table::<Blob>("blob").unwrap();
    let mut txn = store.txn();
    let mut next = Ptr::null();
    let mut addresses = Vec::new();
    for number in 0..130_u8 {
        let address = txn.add(&blobs, &Blob { bytes: vec![number], next }).unwrap();
        next = Ptr::to(address);
        addresses.push(address);
    }
    txn.commit().unwrap();
    let asked = store.backend().take_operations();
    assert_eq!(asked.iter().filter(|&&op| op == "reserve").count(), 3, "64 addresses at a time");
    let mut unique = addresses.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 130);
    let mut last = blobs.get(addresses[129]).unwrap().unwrap();
    assert_eq!((last.address(), &last.bytes[..]), (addresses[129], &[129][..]));
    let Follow::Found { to, .. } = blobs.follow(addresses[129], Blob::NEXT).unwrap() else {
        panic!("it leads elsewhere")
    };
    assert_eq!(to.address(), addresses[128]);
    last.bytes = b"changed".to_vec();
    blobs.update(&last).unwrap();
    assert_eq!(blobs.get(addresses[129]).unwrap().unwrap().bytes, b"changed");
    let (alone, _) = blobs.add(&Blob { bytes: vec![], next: Ptr::null() }).unwrap();
    assert_eq!(blobs.get(alone).unwrap().unwrap().bytes, b"");
    let again = Address::<Blob>::from_bytes(alone.to_bytes());
    blobs.delete(again).unwrap();
    assert_eq!(blobs.get(alone).unwrap(), None);
}

#[test]
fn an_aborted_address_is_not_given_again() {
    let (store, ..) = open();
    let blobs = store.table::<Blob>("blob").unwrap();
    let mut txn = store.txn();
    let lost = txn.add(&blobs, &Blob { bytes: vec![], next: Ptr::null() }).unwrap();
    txn.abort().unwrap();
    for _ in 0..200 {
        assert_ne!(blobs.add(&Blob { bytes: vec![], next: Ptr::null() }).unwrap().0, lost);
    }
    assert_eq!(blobs.get(lost).unwrap(), None);
}

/// An inode number that its maker spread over all 64 bits.
#[derive(TableType, PartialEq, Debug)]
#[table(client_hash)]
struct Object {
    #[key]
    id: u64,
    size: u64,
}

/// Keys that a client hashed go the same ways as all others: typed, iterated, and refused where another type is opened.
#[test]
fn keys_that_the_client_hashed_are_keys_like_others() {
    let (store, ..) = open();
    let objects = store.table::<Object>("object").unwrap();
    assert_eq!((Object::spec().kind, Object::spec().client_key_bytes()), (TableKind::ClientHash, Some(8)));
    for id in [0, 1, 1 << 16, u64::MAX] {
        objects.insert(Object { id, size: id }).unwrap();
    }
    assert_eq!(objects.get(1 << 16).unwrap().unwrap().size, 1 << 16);
    assert_eq!(objects.get(2).unwrap(), None);
    let mut ids: Vec<u64> = objects.iter().map(|found| found.unwrap().id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 1 << 16, u64::MAX]);
    // What cannot be is refused by the domain.
    let store = lostore::open_memory().unwrap();
    let error = store.create_raw("bytes", plain_spec(TableKind::ClientHash, TableHome::Persistent)).unwrap_err();
    assert_eq!((error.code(), error.kind()), (210, ErrorKind::Invalid), "{error}");
    store.table::<Object>("object").unwrap();
    let raw = store.open_raw("object").unwrap();
    let error = raw.upsert(b"seven b", b"", PutOptions::default()).unwrap_err();
    assert_eq!(error.code(), 208, "{error}");
    assert!(error.to_string().contains("takes 8 bytes, a u64"), "{error}");
    assert_eq!(raw.get(b"seven b").unwrap(), None, "no such key can be there");
}

/// A block, of which there are a great many.
#[derive(TableType, PartialEq, Debug)]
#[table(client_hash, compact_slots, pairs = 1_000_000)]
struct Block {
    #[key]
    id: u32,
    bytes: u64,
}

/// The hint reaches the catalog, changes no answer, and is refused where there are no slots.
#[test]
fn compact_slots_are_a_hint_of_the_type() {
    let (store, ..) = open();
    let blocks = store.table::<Block>("block").unwrap();
    assert_eq!(Block::spec().slots_name(), Some("compact"));
    assert!(store.open_raw("block").unwrap().spec().has_compact_slots());
    for id in (0..3_000).chain(0..3_000) {
        blocks.upsert(Block { id, bytes: u64::from(id) }).unwrap();
    }
    assert!((0..3_000).all(|id| blocks.get(id).unwrap().unwrap().bytes == u64::from(id)));
    assert_eq!((blocks.get(3_000).unwrap(), blocks.iter().count()), (None, 3_000));
    let store = lostore::open_memory().unwrap();
    let compact = |kind| TableSpec { rules: vec![Rule::CompactSlots], ..plain_spec(kind, TableHome::Persistent) };
    for kind in [TableKind::Ordered, TableKind::Sack] {
        let error = store.create_raw("none", compact(kind)).unwrap_err();
        assert_eq!((error.code(), error.kind()), (211, ErrorKind::Invalid), "{error}");
        assert_eq!(compact(kind).slots_name(), None);
    }
}

#[test]
fn attributes_reach_the_spec() {
    assert_eq!(Handle::NAME, "files");
    let spec = Handle::spec();
    assert_eq!((spec.kind, spec.home), (TableKind::Hash, TableHome::Volatile));
    assert_eq!(spec.key[0].field_type, FieldType::Signed(32));
    assert_eq!(spec.record[0].field_type, FieldType::Pointer { table: "blob".into() });
    assert_eq!((Blob::spec().kind, Blob::spec().key.len()), (TableKind::Sack, 0));
    assert_eq!(Handle::CONTENT.position(), 0);
}

#[test]
fn a_table_of_another_type_is_refused_by_field() {
    let (store, ..) = open();
    let error = store.table::<Inode>("dirent").unwrap_err();
    assert_eq!((error.code(), error.kind()), (205, ErrorKind::Invalid));
    assert!(error.to_string().contains("'kind' is hash"), "{error}");
    assert!(store.table::<Blob>("inode").unwrap_err().to_string().contains("kind"));
    assert_eq!(store.open_table::<Inode>("nowhere").unwrap_err().code(), 201);
    assert_eq!(store.create_table::<Inode>("inode").unwrap_err().code(), 203);
    store.rename_table("inode", "inodes").unwrap();
    assert_eq!(store.open_table::<Inode>("inode").unwrap_err().code(), 201);
    store.open_table::<Inode>("inodes").unwrap();
    assert_eq!(store.rename_table("inodes", "dirent").unwrap_err().code(), 203);
}

#[test]
fn bytes_that_are_no_record_are_an_error_that_names_the_table() {
    let (store, _dirents, inodes) = open();
    let raw = store.open_raw("inode").unwrap();
    let key = 7_u64.to_le_bytes().iter().rev().copied().collect::<Vec<_>>();
    for (value, code) in
        [(&b""[..], 702), (b"\x07", 702), (b"\x01\x01\x01\x07", 704), (b"\x01\x02\x01\x80\x01\x00", 703)]
    {
        raw.upsert(&key, value, PutOptions::default()).unwrap();
        let error = inodes.get(7).unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Corrupt), "{error}");
        assert!(error.to_string().contains("table 'inode'"), "{error}");
        assert!(!error.help().is_empty());
    }
    raw.upsert(b"short", b"\x01\x00", PutOptions::default()).unwrap();
    let errors: Vec<_> = inodes.iter().filter_map(Result::err).map(|error| error.code()).collect();
    assert_eq!(errors, [703, 701], "an iteration goes on behind a pair that cannot be read");
}

#[test]
fn plain_tables_hold_bytes() {
    let (store, ..) = open();
    let table = store.create_raw("plain", plain_spec(TableKind::Ordered, TableHome::Volatile)).unwrap();
    let mut txn = store.txn();
    let mut raw = txn.raw(&table);
    raw.insert(b"", b"", PutOptions { expires_ms: Some(9), compressed: true, compact: false, revertible_ms: None })
        .unwrap();
    raw.compare(b"other", Expect::Absent).unwrap();
    assert_eq!(raw.get(b"").unwrap().unwrap().expires_ms, Some(9));
    txn.commit().unwrap();
    let pair = table.get(b"").unwrap().expect("an empty value of an empty key is a pair");
    assert_eq!((pair.value, pair.expires_ms, pair.compressed), (vec![], Some(9), true));
    table.remove(b"").unwrap();
    assert_eq!(table.iter().count(), 0);
}

#[test]
fn a_record_that_cannot_be_written_is_the_callers_mistake() {
    #[derive(Debug)]
    struct Odd;
    impl serde::Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serde::ser::Serializer::serialize_seq(serializer, None).map(|_| unreachable!("its length is not known"))
        }
    }
    impl<'de> serde::Deserialize<'de> for Odd {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }
    #[derive(TableType)]
    struct Holder {
        #[key]
        id: u8,
        odd: Odd,
    }
    let (store, ..) = open();
    let holders = store.table::<Holder>("holder").unwrap();
    let error = holders.insert(Holder { id: 1, odd: Odd }).unwrap_err();
    assert_eq!((error.code(), error.kind()), (705, ErrorKind::Invalid));
    assert!(matches!(error, Error::Record { .. }));
}
