//! Programs of two ages share a table: fields are appended, nobody loses what the other wrote.

use super::open;
use lostore::TableType;

mod old {
    use lostore::TableType;

    #[derive(TableType, Clone, Debug, PartialEq)]
    pub(crate) struct User {
        #[key]
        pub(crate) id: u64,
        pub(crate) name: String,
    }
}

mod new {
    use lostore::TableType;

    #[derive(TableType, Clone, Debug, PartialEq)]
    pub(crate) struct User {
        #[key]
        pub(crate) id: u64,
        pub(crate) name: String,
        #[default(18)]
        pub(crate) age: u32,
        #[default]
        pub(crate) tags: Vec<u8>,
    }
}

mod wrong {
    use lostore::TableType;

    #[derive(TableType)]
    pub(crate) struct User {
        #[key]
        pub(crate) id: u64,
        pub(crate) name: Vec<u8>,
    }
}

#[test]
fn old_and_new_programs_share_a_table() {
    let (store, ..) = open();
    let first = store.table::<old::User>("user").unwrap();
    first.insert(old::User { id: 1, name: "ann".into() }).unwrap();

    let later = store.table::<new::User>("user").unwrap();
    let mut ann = later.get(1).unwrap().unwrap();
    assert_eq!((ann.age, &ann.tags[..]), (18, &[][..]), "what is missing takes its default");
    ann.age = 40;
    ann.tags = b"xy".to_vec();
    later.update(&ann).unwrap();

    // The old program opened the table before it had the later fields, and writes back what it found.
    let mut ann = first.get(1).unwrap().unwrap();
    assert_eq!(ann.unknown_fields(), 2);
    ann.name = "anna".into();
    first.update(&ann).unwrap();
    let want = new::User { id: 1, name: "anna".into(), age: 40, tags: b"xy".to_vec() };
    assert_eq!(later.get(1).unwrap().unwrap().into_record(), want);
}

#[test]
fn an_old_program_that_builds_its_records_keeps_later_fields_too() {
    let (store, ..) = open();
    let later = store.table::<new::User>("user").unwrap();
    later.insert(new::User { id: 1, name: "ann".into(), age: 40, tags: vec![] }).unwrap();
    let first = store.table::<old::User>("user").unwrap();
    assert_eq!(first.raw().spec().record.len(), 3, "the catalog keeps the appended fields");
    first.update(old::User { id: 1, name: "b".into() }).unwrap();
    assert_eq!(later.get(1).unwrap().unwrap().age, 40);
    let mut txn = store.txn();
    txn.upsert(&first, old::User { id: 1, name: "c".into() }).unwrap();
    txn.upsert(&first, old::User { id: 1, name: "d".into() }).unwrap();
    txn.upsert(&first, old::User { id: 2, name: "e".into() }).unwrap();
    txn.commit().unwrap();
    let ann = later.get(1).unwrap().unwrap();
    assert_eq!((ann.age, &ann.name[..]), (40, "d"));
    assert_eq!(later.get(2).unwrap().unwrap().age, 18);
}

#[test]
fn a_field_of_another_type_is_refused_by_name() {
    let (store, ..) = open();
    store.table::<old::User>("user").unwrap();
    let error = store.table::<wrong::User>("user").unwrap_err();
    assert_eq!(error.code(), 205);
    assert!(error.to_string().contains("field 'name' is bytes, but in the stored table text"), "{error}");
    assert_eq!(wrong::User::NAME, "user");
}
