use super::*;

#[test]
fn a_place_round_trips() {
    for page in [0, 1, 77, DEVICE_PAGES_MAX - 1] {
        for offset in [0, 8, 4088] {
            for pages in [1, 2, 3, 4, 5, 9, 17, 16_600] {
                let place = Place::new(PageNo(page), offset, pages);
                assert_eq!((place.page(), place.offset()), (PageNo(page), offset));
                assert!(
                    place.pages() >= pages && place.pages() <= pages + pages / 4,
                    "{pages} became {}",
                    place.pages()
                );
                assert_eq!(Place::from_bits(place.to_bits()), place);
                assert!(place.to_bits() >> PLACE_BITS == 0);
            }
        }
    }
}

#[test]
fn small_records_are_read_with_exactly_their_pages() {
    for pages in 1..=8 {
        assert_eq!(Place::new(PageNo(1), 0, pages).pages(), pages);
    }
}

#[test]
fn a_place_knows_how_many_pages_its_record_has_at_least() {
    for pages in 1..2000 {
        let place = Place::new(PageNo(1), 0, pages);
        assert!((place.pages_min()..=place.pages()).contains(&pages), "{pages}: {place:?}");
    }
    assert_eq!([1, 2, 4, 9, 262].map(|pages| Place::new(PageNo(1), 0, pages).pages_min()), [1, 2, 4, 9, 257]);
}
