use super::*;
use std::collections::BTreeMap;

#[test]
fn codes_are_there_once_and_in_order() {
    assert!(EXPLANATIONS.windows(2).all(|two| two[0].code < two[1].code));
    for explanation in EXPLANATIONS {
        assert!(!explanation.what.is_empty() && !explanation.help.is_empty(), "{}", explanation.code);
        assert_eq!(explain(explanation.code), Some(explanation));
    }
}

/// Every code that the sources of the tree give to an error is explained, and no
/// two of these sources give the same. (The protocol's 501 to 507 once were codes of records, too.)
#[test]
fn every_code_is_explained_and_given_once() {
    let sources = [
        include_str!("../error.rs"),
        include_str!("../../../domains/src/error.rs"),
        include_str!("../../../uring/src/error.rs"),
        include_str!("../../../wire/src/codes.rs"),
        include_str!("../../../cli/src/failure.rs"),
    ];
    let mut givers = BTreeMap::new();
    for (source, text) in sources.iter().enumerate() {
        // An arm of a match, or a constant of the protocol's.
        let given = text.lines().filter_map(|line| line.split_once("=> ").or_else(|| line.split_once(": u16 = ")));
        let codes = given.filter_map(|(_, code)| code.trim_end_matches([',', ';']).trim().parse::<u16>().ok());
        // Below 100 are exit codes of the process.
        for code in codes.filter(|code| *code >= 100) {
            assert!(explain(code).is_some(), "LS{code:04} has no explanation");
            let giver = *givers.entry(code).or_insert(source);
            assert_eq!(giver, source, "LS{code:04} means two things");
        }
    }
    assert!(givers.len() > 60, "the sources have their codes in arms and constants: {}", givers.len());
}

#[test]
fn unknown_codes_have_the_help_of_their_kind() {
    let error = crate::Error::Remote { code: 999, kind: ErrorKind::Full, applied: false, message: "later".into() };
    assert_eq!(error.help(), kind_help(ErrorKind::Full));
}
