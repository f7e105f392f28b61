use super::*;

#[test]
fn codes_are_there_once_and_in_order() {
    assert!(EXPLANATIONS.windows(2).all(|two| two[0].code < two[1].code));
    for explanation in EXPLANATIONS {
        assert!(!explanation.what.is_empty() && !explanation.help.is_empty(), "{}", explanation.code);
        assert_eq!(explain(explanation.code), Some(explanation));
    }
}

/// Every code that the sources of this crate, the domains' and the edge's give to an error is explained.
#[test]
fn every_code_is_explained() {
    let sources = [
        include_str!("../error.rs"),
        include_str!("../../../domains/src/error.rs"),
        include_str!("../../../uring/src/error.rs"),
    ];
    let mut codes = 0;
    for line in sources.iter().flat_map(|source| source.lines()) {
        let Some((_, code)) = line.trim_end_matches(',').split_once("=> ") else { continue };
        let Ok(code) = code.trim().parse::<u16>() else { continue };
        codes += 1;
        assert!(explain(code).is_some(), "LS{code:04} has no explanation");
    }
    assert!(codes > 30, "the sources have their codes in arms: {codes}");
}

#[test]
fn unknown_codes_have_the_help_of_their_kind() {
    let error = crate::Error::Remote { code: 999, kind: ErrorKind::Full, message: "later".into() };
    assert_eq!(error.help(), kind_help(ErrorKind::Full));
}
