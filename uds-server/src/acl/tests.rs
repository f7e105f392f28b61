use super::*;
use proptest::prelude::*;

fn caller(uid: u32, groups: &[u32]) -> Caller {
    Caller { uid, gid: uid, groups: groups.to_vec() }
}

/// What these rules give to a caller on a table, in words.
#[track_caller]
fn check(text: &str, caller: &Caller, table: &str, expected: &str) {
    let rules = Rules::parse(text).unwrap().of(caller);
    assert_eq!(rules.on(table).to_string(), expected, "{caller:?} on {table:?}");
}

#[track_caller]
fn wrong(text: &str, expected: &[(usize, &str)]) {
    let findings = Rules::parse(text).unwrap_err();
    assert_eq!(findings.len(), expected.len(), "{findings:?}");
    for (finding, (line, part)) in findings.iter().zip(expected) {
        assert_eq!(finding.line, *line, "{finding}");
        assert!(finding.what.contains(part), "{finding} says nothing of {part:?}");
    }
}

const TEXT: &str = "
# comments and empty lines are nothing
uid:1000  logs.*   read,iterate      # to look only
gid:50    logs.*   insert
*         public   read
uid:65534 public   iterate
uid:1000  *        txn,force
gid:60    *        all
";

#[test]
fn rights_add_up_over_users_groups_and_patterns() {
    check(TEXT, &caller(1000, &[]), "logs.a", "read,iterate");
    check(TEXT, &caller(1000, &[50]), "logs.a", "read,insert,iterate");
    check(TEXT, &caller(50, &[]), "logs.", "insert");
    check(TEXT, &caller(7, &[50]), "log", "none");
    check(TEXT, &caller(7, &[]), "public", "read");
    check(TEXT, &caller(7, &[]), "publication", "none");
    check(TEXT, &caller(7, &[1, 60]), "any name at all", "read,insert,update,delete,iterate,create,destroy");
}

#[test]
fn rights_of_the_server_come_with_any_pattern() {
    let rules = Rules::parse(TEXT).unwrap();
    assert_eq!(rules.of(&caller(1000, &[])).of_server().to_string(), "txn,force");
    assert_eq!(rules.of(&caller(7, &[60])).of_server().to_string(), "txn,force,admin");
    assert_eq!(rules.of(&caller(7, &[])).of_server(), Rights::NONE);
}

#[test]
fn the_unmapped_user_is_given_nothing_but_by_number() {
    check(TEXT, &caller(UID_UNMAPPED, &[50, 60]), "public", "iterate");
    check(TEXT, &caller(UID_UNMAPPED, &[50, 60]), "logs.a", "none");
    let all = "* * all\ngid:65534 * all";
    check(all, &caller(UID_UNMAPPED, &[]), "t", "none");
    assert!(Rules::parse(all).unwrap().of(&caller(UID_UNMAPPED, &[65534])).is_empty());
}

#[test]
fn a_wrong_line_is_named_and_says_what_to_write() {
    wrong("uid:1 * read\nuid:1 *", &[(2, "WHO TABLES RIGHTS")]);
    wrong("uid:1 * read, insert", &[(1, "4 words")]);
    wrong("\n\nroot * read", &[(3, "uid:NUMBER")]);
    wrong("uid:alice * read", &[(1, "id -u NAME")]);
    wrong("gid:staff * read", &[(1, "getent group NAME")]);
    wrong("uid:-1 * read\nuid:4294967295 * read\nuid: * read", &[(1, "number"), (2, "number"), (3, "number")]);
    wrong("uid:1 * reed", &[(1, "'reed' is no right; write some of read, insert,")]);
    wrong("uid:1 * read,", &[(1, "'' is no right")]);
    wrong("uid:1 * Read", &[(1, "is no right")]);
    wrong(&format!("uid:1 {} read", "a".repeat(513)), &[(1, "513 bytes")]);
    assert_eq!(Rules::parse(&"x\n".repeat(100)).unwrap_err().len(), FINDINGS_MAX);
    let many = "* * read\n".repeat(RULES_MAX + 1);
    wrong(&many, &[(RULES_MAX + 1, "more than 10000 rules")]);
    assert_eq!(Rules::parse(&many[..9 * RULES_MAX]).unwrap().all().len(), RULES_MAX);
}

#[test]
fn a_file_that_cannot_give_rules_says_which_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acl");
    let said = |path: &Path| Rules::read(path).unwrap_err().to_string();
    assert!(said(&path).contains("No such file"), "{}", said(&path));
    assert!(said(dir.path()).contains("no regular file"));
    std::fs::write(&path, "uid:1 t read\nuid:1 t").unwrap();
    assert!(said(&path).contains("line 2"), "{}", said(&path));
    std::fs::write(&path, vec![b'#'; RULES_BYTES_MAX + 1]).unwrap();
    assert!(said(&path).contains("at most 1048576"));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(said(&path).contains("UTF-8"), "{}", said(&path));
    std::fs::write(&path, "uid:1 t read").unwrap();
    assert_eq!(Rules::read(&path).unwrap().all().len(), 1);
}

#[test]
fn rights_are_shown_as_they_are_written() {
    for right in Right::ALL {
        assert_eq!(Right::parse(&Rights::NONE.and(right).to_string()), Some(right));
        assert_eq!(Rights::NONE.and(right).of_table().is_empty(), right.is_of_server());
    }
    assert_eq!(Rights::ALL.of_table().with(Rights::ALL.of_server()), Rights::ALL);
}

proptest! {
    #[test]
    fn no_text_is_more_than_rules_or_findings(text in "[ -~\n\u{e9}]{0,400}") {
        if let Ok(rules) = Rules::parse(&text) {
            prop_assert!(rules.all().len() <= text.lines().count());
        }
    }

    /// More rules never give less, in whatever order they stand.
    #[test]
    fn nothing_takes_a_right_away(lines in prop::collection::vec("(uid:[1-3]|gid:[1-3]|\\*) (a\\*|\\*|ab?) (read|insert|txn|all)", 1..8), uid in 1u32..4) {
        let caller = caller(uid, &[3]);
        let all = Rules::parse(&lines.join("\n")).unwrap().of(&caller);
        let mut turned = lines.clone();
        turned.reverse();
        prop_assert_eq!(Rules::parse(&turned.join("\n")).unwrap().of(&caller).on("ab"), all.on("ab"));
        let fewer = Rules::parse(&lines[1..].join("\n")).unwrap().of(&caller);
        prop_assert_eq!(fewer.on("ab").with(all.on("ab")), all.on("ab"));
    }
}
