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

mod ruled {
    use lostore::{Ptr, TableType};

    #[derive(TableType, Clone, Debug, PartialEq)]
    pub(crate) struct Worker {
        #[key]
        pub(crate) id: u64,
        #[range(16..=99)]
        pub(crate) age: u8,
        #[required]
        pub(crate) boss: Ptr<Worker>,
        #[range(-5..=u64::MAX as i64)]
        #[default(-5)]
        pub(crate) level: i64,
        #[default]
        pub(crate) tags: Vec<u8>,
    }

    pub(crate) mod other {
        use lostore::{Ptr, TableType};

        #[derive(TableType)]
        pub(crate) struct Worker {
            #[key]
            pub(crate) id: u64,
            #[range(16..=67)]
            pub(crate) age: u8,
            pub(crate) boss: Ptr<Worker>,
        }
    }
}

/// Rules are in the spec, with the defaults as the bytes that a record would have.
#[test]
fn rules_of_a_type_are_data() {
    use lostore::schema::Rule;
    let rules = ruled::Worker::spec().rules;
    assert_eq!(
        rules,
        [
            Rule::Range { field: 0, least: 16, most: 99 },
            Rule::Required { field: 1 },
            Rule::Range { field: 2, least: -5, most: -1 },
            Rule::Default { field: 2, value: vec![9] },
            Rule::Default { field: 3, value: vec![0] },
        ]
    );
}

#[test]
fn a_record_that_breaks_a_rule_of_its_type_is_refused_by_the_fields_name_and_nothing_is_sent() {
    use lostore::{ErrorKind, Ptr};
    let (store, ..) = open();
    let workers = store.table::<ruled::Worker>("worker").unwrap();
    let sound = ruled::Worker { id: 1, age: 16, boss: Ptr::to(1), level: -1, tags: vec![] };
    workers.insert(&sound).unwrap();
    workers.update(&ruled::Worker { age: 99, level: -5, ..sound.clone() }).unwrap();
    store.backend().take_operations();
    let check = |broken: ruled::Worker, says: &str| {
        let mut txn = store.txn();
        let error = txn.upsert(&workers, &broken).unwrap_err();
        assert_eq!((error.code(), error.kind()), (706, ErrorKind::Invalid));
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(workers.update(&broken).unwrap_err().code(), 706);
    };
    check(ruled::Worker { age: 15, ..sound.clone() }, "field 'age' is 15 and must lie between 16 and 99");
    check(ruled::Worker { age: 100, ..sound.clone() }, "field 'age' is 100");
    check(ruled::Worker { level: 0, ..sound.clone() }, "field 'level' is 0");
    check(ruled::Worker { boss: Ptr::null(), ..sound.clone() }, "field 'boss' is null and must not be");
    assert!(store.backend().take_operations().is_empty(), "nothing was asked of the store");
    // What others wrote is read as it is.
    let mut record = Vec::new();
    let careless = ruled::other::Worker { id: 1, age: 60, boss: Ptr::null() };
    lostore::TableType::encode_record(&careless, &lostore::record::Rest::default(), &mut record).unwrap();
    workers.raw().upsert(&[0, 0, 0, 0, 0, 0, 0, 1], &record, lostore::PutOptions::default()).unwrap();
    assert!(workers.get(1).unwrap().unwrap().boss.is_null());
}

#[test]
fn a_program_with_other_rules_of_a_field_is_refused_by_name() {
    let (store, ..) = open();
    store.table::<ruled::Worker>("worker").unwrap();
    let error = store.table::<ruled::other::Worker>("worker").unwrap_err();
    assert_eq!(error.code(), 205);
    let says = "field 'age' must lie in 16..=67, but in the stored table in 16..=99";
    assert!(error.to_string().contains(says), "{error}");
}

/// Five programs of one type's history, and what any order of them leaves of a record.
mod history {
    use super::super::open;
    use lostore::mock::MapBackend;
    use lostore::{Store, Table, TableType};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What a field is where it is missing.
    const DEFAULTS: [u64; 5] = [0, 101, 102, 103, 104];

    /// One program: it opens the table and reads, builds and rewrites its records.
    trait Program {
        fn read(&self, key: u64) -> Option<Vec<u64>>;
        /// Puts a record that it has built itself.
        fn build(&self, key: u64, fields: &[u64]);
        /// Changes a field of the record that it finds.
        fn rewrite(&self, key: u64, field: usize, value: u64);
    }

    macro_rules! program {
        ($name:ident, $first:ident $(, $field:ident = $default:literal)*) => {
            #[derive(TableType, Clone)]
            struct $name {
                #[key]
                key: u64,
                $first: u64,
                $(#[default($default)] $field: u64,)*
            }

            impl Program for Table<$name, MapBackend> {
                fn read(&self, key: u64) -> Option<Vec<u64>> {
                    self.get(key).unwrap().map(|found| vec![found.$first $(, found.$field)*])
                }

                fn build(&self, key: u64, fields: &[u64]) {
                    let mut fields = fields.iter().copied();
                    let mut next = || fields.next().unwrap();
                    self.upsert($name { key, $first: next(), $($field: next(),)* }).unwrap();
                }

                fn rewrite(&self, key: u64, field: usize, value: u64) {
                    let Some(mut found) = self.get(key).unwrap() else { return };
                    let record: &mut $name = &mut found;
                    let fields = [&mut record.$first $(, &mut record.$field)*];
                    if let Some(field) = fields.into_iter().nth(field) {
                        *field = value;
                    }
                    self.update(&found).unwrap();
                }
            }
        };
    }

    program!(First, a);
    program!(Second, a, b = 101);
    program!(Third, a, b = 101, c = 102);
    program!(Fourth, a, b = 101, c = 102, d = 103);
    program!(Fifth, a, b = 101, c = 102, d = 103, e = 104);

    fn start(store: &Store<MapBackend>, program: usize) -> Box<dyn Program> {
        match program {
            0 => Box::new(store.table::<First>("history").unwrap()),
            1 => Box::new(store.table::<Second>("history").unwrap()),
            2 => Box::new(store.table::<Third>("history").unwrap()),
            3 => Box::new(store.table::<Fourth>("history").unwrap()),
            _ => Box::new(store.table::<Fifth>("history").unwrap()),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A program starts, perhaps anew: it may append its fields to the catalog.
        Start,
        Build(u64),
        Rewrite(usize, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<(usize, u64, Step)>> {
        let step = prop_oneof![
            1 => Just(Step::Start),
            3 => any::<u64>().prop_map(Step::Build),
            6 => (0..5_usize, any::<u64>()).prop_map(|(field, value)| Step::Rewrite(field, value)),
        ];
        prop::collection::vec((0..5_usize, 0..3_u64, step), 1..60)
    }

    proptest! {
        /// Whatever programs of whatever age do in whatever order: of a record that is found and written back everything stands that
        /// somebody has written, what was never written is what it is where it is missing, and the catalog has the longest record and
        /// every step on the way there. A record that a program builds itself keeps the later fields when they were in the catalog as
        /// the program opened the table; of fields that came after that it knows nothing, and writes the record without them.
        #[test]
        fn no_order_of_programs_loses_a_field_that_was_found(steps in steps()) {
            let (store, ..) = open();
            let mut programs: [Option<Box<dyn Program>>; 5] = Default::default();
            let mut stored: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            let mut growth: Vec<usize> = Vec::new();
            // Fields that the catalog had when each program opened the table.
            let mut opened = [0; 5];
            for (program, key, step) in steps {
                let known = program + 1;
                if programs[program].is_none() || matches!(step, Step::Start) {
                    programs[program] = Some(start(&store, program));
                    if growth.last().is_none_or(|fields| *fields < known) {
                        growth.push(known);
                    }
                    opened[program] = *growth.last().unwrap();
                }
                let running = programs[program].as_ref().unwrap();
                match step {
                    Step::Start => {}
                    Step::Build(value) => {
                        let fields: Vec<u64> = (0..5).map(|at| value.wrapping_add(at)).collect();
                        running.build(key, &fields[..known]);
                        let before = stored.entry(key).or_default();
                        if opened[program] == known {
                            before.clear();
                        }
                        before.resize(before.len().max(known), 0);
                        before[..known].copy_from_slice(&fields[..known]);
                    }
                    Step::Rewrite(field, value) => {
                        running.rewrite(key, field, value);
                        if let Some(before) = stored.get_mut(&key) {
                            before.extend(DEFAULTS.iter().take(known).skip(before.len()));
                            if field < known {
                                before[field] = value;
                            }
                        }
                    }
                }
                for (known, program) in programs.iter().enumerate().filter_map(|(at, one)| Some((at + 1, one.as_ref()?))) {
                    for key in 0..3 {
                        let want = stored.get(&key).map(|fields| {
                            (0..known).map(|at| *fields.get(at).unwrap_or(&DEFAULTS[at])).collect::<Vec<u64>>()
                        });
                        prop_assert_eq!(program.read(key), want);
                    }
                }
            }
            let spec = store.open_raw("history").unwrap().spec().clone();
            prop_assert_eq!(spec.record.len(), *growth.last().unwrap());
            prop_assert_eq!(spec.revision(), growth.len());
            for (revision, fields) in growth.iter().enumerate() {
                prop_assert_eq!(spec.revision_of(u16::try_from(*fields - 1).unwrap()), revision + 1);
            }
        }
    }
}
