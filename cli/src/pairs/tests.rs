use super::*;

#[test]
fn versions_are_read_as_they_are_printed() {
    let version = Version { epoch: EpochId::new(Incarnation(3), 42), ordinal: Ordinal(7) };
    assert_eq!(version_of(&version.to_string()).unwrap(), version);
    let largest = Version { epoch: EpochId(u64::MAX), ordinal: Ordinal(u64::MAX) };
    assert_eq!(version_of(&largest.to_string()).unwrap(), largest);
    for bad in
        ["", "1", "1.2", "1.2.3.4", "a.b.c", "16777216.0.0", "0.1099511627776.0", "-1.0.0", "1.2.18446744073709551616"]
    {
        assert!(version_of(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_pair_has_a_table_and_a_key() {
    assert_eq!(split("users/alice").unwrap(), ("users", "alice"));
    assert_eq!(split("users/").unwrap(), ("users", ""));
    assert_eq!(split("users/a/b").unwrap(), ("users", "a/b"));
    assert!(split("users").is_err() && split("/alice").is_err() && split("").is_err());
}
