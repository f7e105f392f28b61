//! A directory tree into a store, and a walk through what one can do with it there.
//!
//! `cargo run -p mdservice --example tree -- embedded DIR TREE` keeps the store in this process, in the directory DIR;
//! `cargo run -p mdservice --example tree -- socket PATH TREE` reaches the store of `lostore serve` at its socket.
//! The program after the first three lines of `main` is the same.

use lostore::{Backend, Store};
use mdservice::{Attributes, ChangeCursor, CompareOptions, ImportOptions, MdService, Progress, ROOT};
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    match given[..] {
        ["embedded", dir, tree] => run(&lostore::open(dir)?, Path::new(tree)),
        ["socket", path, tree] => run(&lostore::connect(path)?, Path::new(tree)),
        _ => Err("say `embedded DIR TREE` or `socket PATH TREE`".into()),
    }
}

fn run<B: Backend>(store: &Store<B>, tree: &Path) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let service = MdService::open(store)?;

    // Each run imports into a directory of its own.
    let name = format!("tree{}", service.readdir(ROOT).count());
    let top = service.mkdir(ROOT, name.as_bytes(), &Attributes::new(0o755))?.ino;
    let mut progress = |progress: &Progress| {
        let _ = write!(io::stderr(), "\r{} names, {:.0} a second ", progress.entries, progress.per_second());
    };
    let options = ImportOptions { progress: Some(&mut progress), ..ImportOptions::default() };
    let import = service.import_tree(tree, top, options)?;
    writeln!(io::stderr())?;
    writeln!(
        out,
        "imported {} names, {} refused, {} could not be read",
        import.entries, import.refused, import.unreadable
    )?;

    let options = CompareOptions { imported: Some(import.began), partial: !import.complete };
    let compared = service.compare_tree(tree, top, options)?;
    writeln!(
        out,
        "compared {} names, {} checks, {} mismatches",
        compared.entries, compared.checks, compared.mismatches
    )?;

    for mismatch in &compared.mismatches_first {
        writeln!(out, "  {mismatch}")?;
    }

    // A name by its path, and a path by its inode: one follow a step down, one parent pointer a step up.
    for dirent in service.readdir(top).take(5) {
        let dirent = dirent?;
        let path = service.path_of(dirent.ino()?)?;
        let found = service.resolve(&path)?.is_some_and(|inode| Ok(inode.ino) == dirent.ino().map_err(drop));
        writeln!(out, "{:?} {} (found by its path: {found})", dirent.kind, path.escape_ascii())?;
    }

    // Neither waits for the other, yet the file is never there without its directory.
    let drafts = service.start_mkdir(top, b"drafts of today", &Attributes::new(0o755))?;
    let letter = service.start_create(drafts.ino(), b"letter", &Attributes::new(0o644))?;
    let drafts = drafts.wait()?.ino;
    letter.wait()?;
    let ticket = service.rename(drafts, b"letter", top, b"letter, finished")?;
    writeln!(out, "renamed; after a power failure: {:?}", ticket.persistent()?)?;

    let (mut cursor, mut changes) = (ChangeCursor::default(), 0);
    loop {
        let read = service.changes_since(&cursor, 1_000)?;
        changes += read.changes.len();
        cursor = read.cursor;
        if !read.more {
            break;
        }
    }
    let report = service.fsck()?;
    writeln!(
        out,
        "{changes} changes; {} checks of {} inodes, {} problems",
        report.checks, report.inodes, report.problems
    )?;
    if compared.is_same() && report.is_clean() { Ok(()) } else { Err("the tree is not as it should be".into()) }
}
