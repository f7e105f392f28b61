use super::*;
use segments::PageNo;

fn place(page: u64) -> Place {
    Place::new(PageNo(page), 80, 1)
}

#[test]
fn the_budget_holds_and_what_is_used_stays() {
    let mut cache = Cache::new(10 * (100 + OVERHEAD_BYTES), 7);
    for page in 0..1000 {
        cache.put(place(page), 0, vec![1; 100].into());
        assert!(cache.get(place(0), 0).is_some(), "a record that is used stays");
        assert!(cache.bytes() <= 10 * (100 + OVERHEAD_BYTES));
    }
    assert!(cache.get(place(999), 0).is_some(), "the newest is there");
    assert!(cache.get(place(500), 0).is_none());
    cache.clear();
    assert!(cache.get(place(0), 0).is_none());
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_record_larger_than_the_budget_is_not_kept() {
    let mut cache = Cache::new(100, 7);
    cache.put(place(1), 0, vec![0; 101].into());
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_record_of_an_earlier_life_is_not_given() {
    let mut cache = Cache::new(1000, 7);
    cache.put(place(1), 3, vec![1; 10].into());
    assert!(cache.get(place(1), 4).is_none(), "the place has been used anew");
    cache.put(place(1), 4, vec![2; 20].into());
    assert_eq!(cache.get(place(1), 4).map(|record| record.len()), Some(20));
    assert_eq!(cache.bytes(), 20 + OVERHEAD_BYTES, "the one before has gone");
}
