//! Ratchets over the crate's own source.

use std::path::Path;

/// Every source file of the crate but the tests, with its text.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 15, "the sources were found");
    files
}

fn collect(dir: &Path, files: &mut Vec<(String, String)>) {
    for found in std::fs::read_dir(dir).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "tests" {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Lowering it is welcome, raising it needs a reason in the commit: 9 blocks, 2 declarations of C functions, and the
/// contracts of `Loan::home` and `Kernel::push` (declared and implemented).
const UNSAFE_MAX: usize = 14;

#[test]
fn unsafe_does_not_spread() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                found.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(found.len() <= UNSAFE_MAX, "{} lines with unsafe:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_request_is_linked_to_another() {
    // A short write would cancel the flush linked to it, so order comes from waiting for completions and from nothing else.
    for (path, text) in sources() {
        for word in ["IO_LINK", "IO_HARDLINK", "IO_DRAIN", "squeue::Flags"] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
}
