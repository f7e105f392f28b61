//! The demo looks around: directories are listed by `next`, paths walked by `follow`, and paths found back from inodes.

use super::checks::{Checks, Spread};
use super::{Service, service_failed};
use crate::failure::Failure;
use crate::output::count_text;
use mdservice::{Ino, Kind};
use serde_json::json;
use std::time::{Duration, Instant};

/// Directories that are listed.
const DIRECTORIES: usize = 1_000;
/// Paths that are walked.
const PATHS: usize = 2_000;
/// As long as one kind of looking may take.
const TIME: Duration = Duration::from_millis(1_200);

/// Something that a listing found: its path below the root, and its inode.
struct Found {
    path: Vec<u8>,
    ino: Ino,
}

pub(super) fn look(service: &Service, tree: Ino, checks: &mut Checks<'_>) -> Result<(), Failure> {
    let (found, listings) = list(service, tree)?;
    let directories = listings.len();
    let (mut walks, mut steps) = (Vec::new(), Vec::new());
    let (step, began) = ((found.len() / PATHS).max(1), Instant::now());
    let mut walked = 0;
    for found in found.iter().step_by(step) {
        if began.elapsed() > TIME {
            break;
        }
        let asked = Instant::now();
        let inode = service.resolve(&found.path).map_err(service_failed)?;
        let took = asked.elapsed();
        walked += 1;
        let names = found.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
        steps.push(took / u32::try_from(names.max(1)).unwrap_or(u32::MAX));
        walks.push(took);
        checks.check(
            "a path leads to the inode that its listing named",
            inode.is_some_and(|inode| inode.ino == found.ino),
        );
    }
    for found in found.iter().step_by(step * 10).take(200) {
        let path = service.path_of(found.ino).map_err(service_failed)?;
        // Of something with several names any may come back; it must lead to the same inode.
        let back = service.resolve(&path).map_err(service_failed)?;
        checks.check("an inode leads back to a path of its own", back.is_some_and(|inode| inode.ino == found.ino));
    }
    let (walks, steps, listings) = (Spread::of(walks), Spread::of(steps), Spread::of(listings));
    checks.step(
        "look",
        &format!(
            "{} paths by 'follow': {} a path, {} a name; {} listings by 'next': {}",
            count_text(walked),
            walks.text(),
            steps.text(),
            count_text(directories as u64),
            listings.text()
        ),
    )?;
    let number = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let micros = |spread: &Spread| json!({ "p50_us": number(spread.p50), "p99_us": number(spread.p99) });
    checks.facts(
        "look",
        json!({ "paths": walked, "path": micros(&walks), "follow": micros(&steps), "listing": micros(&listings) }),
    );
    Ok(())
}

/// Walks the tree by its listings, and times each.
fn list(service: &Service, tree: Ino) -> Result<(Vec<Found>, Vec<Duration>), Failure> {
    let (mut found, mut times) = (Vec::new(), Vec::new());
    let mut directories = vec![Found { path: b"/tree".to_vec(), ino: tree }];
    let began = Instant::now();
    while let Some(directory) = directories.pop() {
        if times.len() >= DIRECTORIES || began.elapsed() > TIME {
            break;
        }
        let asked = Instant::now();
        let names: Result<Vec<_>, _> = service.readdir(directory.ino).collect();
        times.push(asked.elapsed());
        for dirent in names.map_err(Failure::from)? {
            let path = [&directory.path[..], b"/", &dirent.name].concat();
            let ino = dirent.ino().map_err(service_failed)?;
            if dirent.kind == Kind::Directory {
                directories.push(Found { path: path.clone(), ino });
            }
            found.push(Found { path, ino });
        }
    }
    Ok((found, times))
}
