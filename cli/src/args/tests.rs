use super::*;
use clap::CommandFactory;

#[test]
fn the_grammar_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn sizes_have_units() {
    assert_eq!(size("0"), Ok(0));
    assert_eq!(size("512"), Ok(512));
    assert_eq!([size("1k"), size("1K"), size("1KiB"), size("1kb")], [Ok(1024), Ok(1024), Ok(1024), Ok(1024)]);
    assert_eq!(size("10G"), Ok(10 << 30));
    for bad in ["", "G", "1X", "-1", "1.5G", "99999999999T"] {
        assert!(size(bad).is_err(), "{bad}");
    }
}

#[test]
fn permissions_are_octal() {
    assert_eq!(octal("600"), Ok(0o600));
    assert_eq!(octal("0777"), Ok(0o777));
    assert!(octal("8").is_err() && octal("1777").is_err());
}
