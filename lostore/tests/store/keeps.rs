//! What a read gives back beside the record, and what writing that record back keeps.

use lostore::{EpochId, Incarnation, Ordinal, Ptr, PutOptions, TableType, Version};

#[derive(TableType, Clone, Debug, PartialEq)]
struct Session {
    #[key]
    id: u64,
    visits: u32,
}

#[derive(TableType, Clone, Debug, PartialEq)]
struct Note {
    #[key]
    id: u64,
    session: Ptr<Session>,
    seen: Version,
}

const KEPT: PutOptions =
    PutOptions { expires_ms: Some(u64::MAX), compressed: true, compact: false, revertible_ms: None };

#[test]
fn what_was_found_and_is_written_back_keeps_its_expiry_and_flag() {
    let store = lostore::open_memory().unwrap();
    let sessions = store.table::<Session>("session").unwrap();
    let mut txn = store.txn();
    txn.insert_with(&sessions, Session { id: 1, visits: 0 }, KEPT).unwrap();
    // Also out of the transaction's own updates.
    let mut own = txn.get(&sessions, 1).unwrap().unwrap();
    own.visits += 1;
    txn.update(&sessions, &own).unwrap();
    txn.commit().unwrap();
    let kept = |visits| {
        let found = sessions.get(1).unwrap().unwrap();
        assert_eq!((found.visits, found.options()), (visits, KEPT));
        found
    };
    let mut found = kept(1);
    found.visits = 2;
    sessions.replace(&found).unwrap();
    let mut found = sessions.iter().next().unwrap().unwrap();
    assert_eq!(found.options(), KEPT);
    found.visits = 3;
    sessions.upsert(&found).unwrap();
    let mut found = sessions.get_async(1).wait().unwrap().unwrap();
    found.visits = 4;
    sessions.update(&found).unwrap();
    let found = kept(4);
    assert_eq!(sessions.get_with(1, |record| record.unwrap().options).unwrap(), KEPT);

    // Unless told otherwise: by options, or by a record that does not come from the table.
    let other = PutOptions { expires_ms: Some(u64::MAX - 1), compressed: false, compact: false, revertible_ms: None };
    let mut txn = store.txn();
    txn.update_with(&sessions, &found, other).unwrap();
    txn.commit().unwrap();
    assert_eq!(sessions.get(1).unwrap().unwrap().options(), other);
    sessions.update(Session { id: 1, visits: 9 }).unwrap();
    assert_eq!(sessions.get(1).unwrap().unwrap().options(), PutOptions::default());
}

#[test]
fn a_pointer_leads_to_the_table_that_the_program_opened() {
    let store = lostore::open_memory().unwrap();
    let mine = store.table::<Session>("sessions of mine").unwrap();
    mine.insert(Session { id: 1, visits: 7 }).unwrap();
    let pointer = Ptr::<Session>::to(1u64);
    assert_eq!(store.follow(&pointer).unwrap().unwrap().visits, 7);
    // Of two, the one of the type's own name; of two without it, none.
    let others = store.table::<Session>("others").unwrap();
    others.insert(Session { id: 1, visits: 8 }).unwrap();
    assert_eq!(store.follow(&pointer).unwrap_err().code(), 201);
    let named = store.table::<Session>(Session::NAME).unwrap();
    named.insert(Session { id: 1, visits: 9 }).unwrap();
    assert_eq!(store.follow(&pointer).unwrap().unwrap().visits, 9);
    store.destroy_table(Session::NAME).unwrap();
    store.destroy_table("others").unwrap();
    assert_eq!(store.follow(&pointer).unwrap().unwrap().visits, 7);
    // A table that was made of bytes is nobody's type.
    store.create_raw(Session::NAME, Session::spec()).unwrap();
    assert_eq!(store.follow(&pointer).unwrap().unwrap().visits, 7);
}

#[test]
fn a_record_may_keep_a_version() {
    let seen = Version { epoch: EpochId::new(Incarnation(1), 2), ordinal: Ordinal(5) };
    let note = Note { id: 1, session: Ptr::null(), seen };
    let mut record = Vec::new();
    note.encode_record(&lostore::record::Rest::default(), &mut record).unwrap();
    let field = lostore::schema::envelope::field(&record, 1).unwrap().unwrap();
    assert_eq!(field, [0x82, 0x80, 0x80, 0x80, 0x80, 0x20, 0x05]);
    let store = lostore::open_memory().unwrap();
    let notes = store.table::<Note>("note").unwrap();
    notes.insert(&note).unwrap();
    assert_eq!(*notes.get(1).unwrap().unwrap(), note);
}
