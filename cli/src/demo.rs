//! `demo`: the main job, end to end, on a real directory tree, in at most twenty seconds.
//!
//! Contract: the daemon is a process of its own, reached through its socket only. Every check is counted and the failed ones are
//! named; any failure makes the exit code 1. Nothing is left behind but with `--keep`, even when it is interrupted: the temporary
//! directory is removed, and only processes are ended that were started here.

use crate::args::{Demo, Target};
use crate::failure::{DEMO, Exit, Failure};
use crate::output::{Output, count_text};
use crate::progress;
use crate::reach::options;
use crate::verify::{pointers, verified};
use lostore::{Remote, Store};
use mdservice::{Attributes, CompareOptions, ImportOptions, ImportReport, Ino, MdService, ROOT};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod checks;
mod crash;
mod daemon;
mod interrupt;
mod look;
mod race;

use checks::{Checks, rate, seconds};
use daemon::Daemon;
use interrupt::Belongings;

/// Entries that are imported however slow the machine is, when the tree has them.
const ENTRIES_MIN: u64 = 20_000;
/// How long the import goes on beyond them, and how far: what it makes is looked through four times afterwards.
const IMPORT_TIME: Duration = Duration::from_secs(2);
const ENTRIES_MAX: u64 = 30_000;
/// Transactions sent one by one before, to tell what a single round trip costs.
const ONE_BY_ONE: u64 = 200;

/// A service behind the daemon's socket.
type Service = MdService<Remote>;

pub(crate) fn demo(target: &Target, args: &Demo, output: &mut Output) -> Result<(), Failure> {
    let belongings = Belongings::watch()?;
    let done = show(target, args, &belongings, output);
    belongings.settle();
    done
}

/// The demo, from its directory to its last line.
fn show(target: &Target, args: &Demo, belongings: &Belongings, output: &mut Output) -> Result<(), Failure> {
    let began = Instant::now();
    let place = belongings.directory();
    let place = place.map_err(|error| Failure::file("make a directory in", "the temporary directory", &error))?;
    let mut checks = Checks::new(output, args.json);
    let daemon = run(target, args, belongings, place.path(), &mut checks)?;
    checks.fact("took_ms", u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).into());
    let (passed, failed) = checks.totals();
    if args.keep {
        daemon.keep();
        let kept = place.keep();
        checks.fact("kept", kept.to_string_lossy().into());
        checks.line(&format!(
            "Kept running as pid {}, in {}. Try:\n  export LOSTORE_STORE={}\n  lostore table list; lostore status; \
             lostore scan dirent --limit 5 -o jsonl\n  kill {}; rm -r {}",
            daemon.pid(),
            kept.display(),
            kept.join("store").display(),
            daemon.pid(),
            kept.display()
        ))?;
    } else {
        daemon.stop(&mut checks)?;
        drop(place);
    }
    let total = seconds(began.elapsed());
    if failed == 0 {
        let hint = if args.keep { String::new() } else { ". Keep it running: lostore demo --keep".to_owned() };
        checks.line(&format!("All {} checks passed in {total}{hint}", count_text(passed)))?;
        return checks.finish();
    }
    checks.line(&format!("{} of {} checks FAILED", count_text(failed), count_text(passed + failed)))?;
    checks.finish()?;
    Err(Failure {
        exit: Exit::No,
        code: Some(DEMO),
        what: format!("{failed} checks of the demo failed"),
        help: "the list above says which".to_owned(),
    })
}

/// All steps; the daemon, running again.
fn run(
    target: &Target,
    args: &Demo,
    belongings: &Belongings,
    place: &Path,
    checks: &mut Checks<'_>,
) -> Result<Daemon, Failure> {
    let mut daemon = Daemon::start(belongings, place, target.io)?;
    checks.line(&format!(
        "lostore {}  ·  {}  ·  {}",
        env!("CARGO_PKG_VERSION"),
        daemon.io(),
        daemon.socket().display()
    ))?;
    checks.fact("io", daemon.io().into());
    let service = open(&daemon, target)?;
    let tree = service.mkdir(ROOT, b"tree", &Attributes::new(0o755)).map_err(service_failed)?.ino;
    let imported = import(&service, args, tree, checks)?;
    look::look(&service, tree, checks)?;
    race::race(&daemon, target, &service, checks)?;
    let oracle = crash::import_and_kill(&service, &mut daemon, &args.tree, checks)?;
    drop(service);

    let killed = Instant::now();
    let daemon = daemon.restart(target.io)?;
    let took = killed.elapsed();
    let service = open(&daemon, target)?;
    crash::judge(&service, &daemon, oracle, took, checks)?;
    fsck(&service, checks)?;
    compare(&service, args, tree, &imported, checks)?;
    drop(service);
    daemon.stop(checks)?;
    verify(&daemon, checks)?;
    if args.keep { daemon.restart(target.io) } else { Ok(daemon) }
}

/// A service on a connection of its own.
fn open(daemon: &Daemon, target: &Target) -> Result<Service, Failure> {
    let store = Store::new(options(target.io).connect(daemon.socket())?);
    MdService::open(&store).map_err(service_failed)
}

fn service_failed(error: mdservice::Error) -> Failure {
    match error {
        mdservice::Error::Store(error) => error.into(),
        mdservice::Error::Disk { path, why } => Failure::file("read", &path.to_string_lossy(), &why),
        other => Failure {
            exit: Exit::No,
            code: Some(DEMO),
            what: format!("the metadata service failed: {other}"),
            help: "run the demo again; report it with its output".to_owned(),
        },
    }
}

fn import(service: &Service, args: &Demo, into: Ino, checks: &mut Checks<'_>) -> Result<ImportReport, Failure> {
    let single = one_by_one(service)?;
    let (cancel, bar) = (AtomicBool::new(false), progress::bar(args.entries.unwrap_or(ENTRIES_MIN), "import"));
    let limited = args.entries.is_some();
    let mut progress = |progress: &mdservice::Progress| {
        bar.set_position(progress.entries);
        if !limited && progress.entries >= ENTRIES_MIN && progress.elapsed >= IMPORT_TIME {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let options = ImportOptions {
        entries_max: args.entries.unwrap_or(ENTRIES_MAX),
        progress: Some(&mut progress),
        cancel: Some(&cancel),
        ..ImportOptions::default()
    };
    let report = service.import_tree(&args.tree, into, options).map_err(service_failed)?;
    bar.finish_and_clear();
    service.store().force()?;
    let per_second = rate(report.entries, report.elapsed);
    let extent = if report.complete { "all of it" } else { "a part of it, to fit the time; --entries takes more" };
    checks.step(
        "import",
        &format!(
            "{} entries of {} ({extent}): {} directories, {} symlinks, {} hard links; one txn each, {}; {}/s one by one, {}/s pipelined",
            count_text(report.entries),
            args.tree.display(),
            count_text(report.directories),
            count_text(report.symlinks),
            count_text(report.links),
            seconds(report.elapsed),
            count_text(single),
            count_text(per_second)
        ),
    )?;
    if report.unreadable > 0 {
        checks
            .line(&format!("           {} entries cannot be read by this user and were left out", report.unreadable))?;
    }
    let enough =
        report.complete || report.entries >= args.entries.unwrap_or(ENTRIES_MIN).saturating_sub(report.refused);
    checks.check("the import has as many entries as were asked for", enough);
    checks.check("no name was refused", report.refused == 0);
    checks.facts("import", json!({
        "entries": report.entries, "directories": report.directories, "symlinks": report.symlinks, "links": report.links,
        "complete": report.complete, "unreadable": report.unreadable,
        "per_second": per_second, "per_second_one_by_one": single,
    }));
    Ok(report)
}

/// Transactions a second when each waits for the one before.
fn one_by_one(service: &Service) -> Result<u64, Failure> {
    let directory = service.mkdir(ROOT, b"one by one", &Attributes::new(0o755)).map_err(service_failed)?.ino;
    let began = Instant::now();
    for number in 0..ONE_BY_ONE {
        let name = format!("file {number}");
        service.create(directory, name.as_bytes(), &Attributes::new(0o644)).map_err(service_failed)?;
    }
    Ok(rate(ONE_BY_ONE, began.elapsed()))
}

fn fsck(service: &Service, checks: &mut Checks<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    let report = service.fsck().map_err(service_failed)?;
    checks.add(
        "fsck",
        report.checks - report.problems,
        report.problems_first.iter().map(ToString::to_string),
        report.problems,
    );
    checks.step(
        "fsck",
        &format!(
            "{} inodes, {} names, {} changes played again; {} checks, {} problems, {}",
            count_text(report.inodes),
            count_text(report.names),
            count_text(report.changes),
            count_text(report.checks),
            report.problems,
            seconds(began.elapsed())
        ),
    )?;
    checks.facts(
        "fsck",
        json!({ "inodes": report.inodes, "names": report.names, "changes": report.changes,
        "checks": report.checks, "problems": report.problems }),
    );
    Ok(())
}

fn compare(
    service: &Service,
    args: &Demo,
    at: Ino,
    imported: &ImportReport,
    checks: &mut Checks<'_>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let options = CompareOptions { partial: !imported.complete, imported: Some(imported.began) };
    let report = service.compare_tree(&args.tree, at, options).map_err(service_failed)?;
    let first = report.mismatches_first.iter().map(ToString::to_string);
    checks.add("compare", report.checks.saturating_sub(report.mismatches), first, report.mismatches);
    checks.check(
        "every imported entry was compared",
        report.entries + report.changed + report.unreadable >= imported.entries,
    );
    checks.step(
        "compare",
        &format!(
            "{} entries with the file system: {} checks, {} differ, {} changed on disk meanwhile, {}",
            count_text(report.entries),
            count_text(report.checks),
            report.mismatches,
            report.changed,
            seconds(began.elapsed())
        ),
    )?;
    checks.facts(
        "compare",
        json!({ "entries": report.entries, "checks": report.checks, "mismatches": report.mismatches,
        "changed": report.changed, "unreadable": report.unreadable }),
    );
    Ok(())
}

/// The offline check of what is left on the device.
fn verify(daemon: &Daemon, checks: &mut Checks<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    let (report, _, store) = verified(daemon.store())?;
    let sheet = store
        .map(|store| pointers::check(&store, pointers::State::AtRest, 10, &AtomicBool::new(false)))
        .transpose()?
        .unwrap_or_default();
    let pointers: u64 = sheet.fields.iter().map(|tally| tally.found + tally.null + tally.bad()).sum();
    let damaged = report.findings.len() as u64 + sheet.bad();
    let breaches = sheet.breaches.iter().map(|breach| format!("{}/{} {}", breach.table, breach.key, breach.what));
    checks.add(
        "verify",
        report.pages + report.records + report.pairs + pointers,
        report.findings.iter().map(|finding| finding.what.clone()).chain(breaches),
        damaged,
    );
    checks.step(
        "verify",
        &format!(
            "{} pages, {} records, {} pairs of {} tables through the indexes, {} pointers: {damaged} damaged, {}",
            count_text(report.pages),
            count_text(report.records),
            count_text(report.pairs),
            report.tables,
            count_text(pointers),
            seconds(began.elapsed())
        ),
    )?;
    checks.facts(
        "verify",
        Value::from_iter([
            ("pages", report.pages),
            ("records", report.records),
            ("pairs", report.pairs),
            ("pointers", pointers),
            ("damaged", damaged),
        ]),
    );
    Ok(())
}
