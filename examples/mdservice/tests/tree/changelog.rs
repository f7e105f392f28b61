//! The changelog: nothing twice, nothing skipped, in order, from any number of services.

use crate::{backends, check_sound, plain};
use lostore::{Backend, Store};
use mdservice::{ChangeCursor, Happened, MdService, Op, ROOT};

fn read_all<B: Backend>(service: &MdService<B>, limit: usize) -> Vec<Happened> {
    let (mut all, mut cursor) = (Vec::new(), ChangeCursor::default());
    loop {
        let read = service.changes_since(&cursor, limit).unwrap();
        assert!(read.changes.len() <= limit.max(1));
        all.extend(read.changes);
        cursor = read.cursor;
        if !read.more {
            return all;
        }
    }
}

fn name_of(change: &Happened) -> Vec<u8> {
    match &change.op {
        Op::Made { name, .. } | Op::Linked { name, .. } | Op::Removed { name, .. } => name.clone(),
        Op::Renamed { to_name, .. } => to_name.clone(),
        Op::Set { .. } => Vec::new(),
    }
}

/// Changes of several services come in the order in which they were made, whatever is asked for at a time.
pub(crate) fn check_order<B: Backend>(store: &Store<B>) {
    let services: Vec<_> = (0..5).map(|_| MdService::open(store).unwrap()).collect();
    let before = read_all(&services[0], 1_000).len();
    let mut expected = Vec::new();
    for round in 0..40_usize {
        let name = format!("{round}").into_bytes();
        services[round * round % 5].create(ROOT, &name, &plain()).unwrap();
        expected.push(name);
    }
    for limit in [0, 1, 2, 7, 39, 40, 41] {
        let names: Vec<_> = read_all(&services[0], limit).iter().skip(before).map(name_of).collect();
        assert_eq!(names, expected, "limit {limit}");
    }
    let all = read_all(&services[1], 3);
    assert!(all.is_sorted_by(|a, b| a.version < b.version), "versions rise");
    check_sound(&services[0]);
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let store = backends::map();
    let [one, two] = [(); 2].map(|()| MdService::open(&store).unwrap());
    let (mut cursor, mut names) = (ChangeCursor::default(), Vec::new());
    let nothing = one.changes_since(&cursor, 10).unwrap();
    assert_eq!((nothing.changes.len(), nothing.more), (0, false));
    for round in 0..30_u8 {
        let (first, second) = if round % 3 == 0 { (&two, &one) } else { (&one, &two) };
        first.create(ROOT, &[b'a', round + b'0'], &plain()).unwrap();
        second.create(ROOT, &[b'b', round + b'0'], &plain()).unwrap();
        // A refused operation leaves a number unused, which no reader waits for.
        drop(first.create(ROOT, &[b'a', round + b'0'], &plain()).unwrap_err());
        let read = two.changes_since(&cursor, 3).unwrap();
        names.extend(read.changes.iter().map(name_of));
        cursor = read.cursor;
    }
    names.extend(two.changes_since(&cursor, 100).unwrap().changes.iter().map(name_of));
    let expected: Vec<_> = (0..30).flat_map(|round| [vec![b'a', round + b'0'], vec![b'b', round + b'0']]).collect();
    assert_eq!(names, expected);
}
