//! Locations and the order-preserving form of a number.

use super::{Loc, from_order_preserving, order_preserving};
use segments::{PageNo, Place};

#[test]
fn a_place_survives_being_a_location() {
    let place = Place::new(PageNo((1 << 40) - 1), 4088, 1);
    assert_eq!(Place::from(Loc::from(place)), place);
    let first = Place::new(PageNo(0), 0, 1);
    assert_eq!(Loc::from(first), Loc::new(0));
}

#[test]
#[should_panic(expected = "does not fit")]
fn the_number_above_the_last_location_is_refused() {
    let _ = Loc::new(Loc::MAX.to_bits() + 1);
}

#[test]
fn bytes_compare_as_their_numbers() {
    let numbers = [0, 1, 255, 256, 65_535, 1 << 32, (1 << 32) + 1, u64::MAX - 1, u64::MAX];
    for pair in numbers.windows(2) {
        assert!(order_preserving(pair[0]) < order_preserving(pair[1]));
    }
    assert!(numbers.iter().all(|&number| from_order_preserving(order_preserving(number)) == number));
}
