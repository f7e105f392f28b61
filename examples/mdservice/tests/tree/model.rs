//! Random operations against a model: two maps and the rules of POSIX, written a second time.

use crate::{backends, check_sound, plain};
use lostore::mock::MapBackend;
use mdservice::{Error, Ino, Kind, MdService, ROOT};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One of a few names in one of a few directories, both by number.
type Place = (usize, u8);

#[derive(Clone, Debug)]
enum Step {
    Make(Kind, Place),
    Link(Place, Place),
    Unlink(Place),
    Rmdir(Place),
    Rename(Place, Place),
}

#[derive(Default)]
struct Model {
    names: BTreeMap<(Ino, u8), Ino>,
    kinds: BTreeMap<Ino, Kind>,
}

type Outcome = Result<(), &'static str>;

impl Model {
    fn is_directory(&self, ino: Ino) -> bool {
        self.kinds.get(&ino) == Some(&Kind::Directory)
    }

    fn is_empty(&self, ino: Ino) -> bool {
        self.names.range((ino, 0)..=(ino, u8::MAX)).next().is_none()
    }

    fn find(&self, place: (Ino, u8)) -> Result<Ino, &'static str> {
        self.names.get(&place).copied().ok_or("not found")
    }

    fn is_inside(&self, mut ino: Ino, ancestor: Ino) -> bool {
        while ino != ancestor {
            match self.names.iter().find(|(_, child)| **child == ino) {
                Some(((parent, _), _)) => ino = *parent,
                None => return false,
            }
        }
        true
    }

    fn put(&mut self, place: (Ino, u8), ino: Ino) -> Outcome {
        if !self.is_directory(place.0) {
            return Err("not a directory");
        }
        if self.names.contains_key(&place) {
            return Err("exists");
        }
        self.names.insert(place, ino);
        Ok(())
    }

    fn drop_name(&mut self, place: (Ino, u8)) {
        let ino = self.names.remove(&place).unwrap();
        if !self.names.values().any(|other| *other == ino) {
            self.kinds.remove(&ino);
        }
    }

    fn remove(&mut self, place: (Ino, u8), directory: bool) -> Outcome {
        let ino = self.find(place)?;
        match (directory, self.is_directory(ino)) {
            (true, false) => return Err("not a directory"),
            (false, true) => return Err("is a directory"),
            (true, true) if !self.is_empty(ino) => return Err("not empty"),
            (true, true) | (false, false) => {}
        }
        self.drop_name(place);
        Ok(())
    }

    fn rename(&mut self, from: (Ino, u8), to: (Ino, u8)) -> Outcome {
        let ino = self.find(from)?;
        let there = self.names.get(&to).copied();
        if there == Some(ino) {
            return Ok(());
        }
        if there.is_none() && !self.is_directory(to.0) {
            return Err("not a directory");
        }
        if self.is_directory(ino) && from.0 != to.0 && self.is_inside(to.0, ino) {
            return Err("into itself");
        }
        if let Some(there) = there {
            match (self.is_directory(ino), self.is_directory(there)) {
                (true, false) => return Err("not a directory"),
                (false, true) => return Err("is a directory"),
                (true, true) if !self.is_empty(there) => return Err("not empty"),
                (true, true) | (false, false) => self.drop_name(to),
            }
        }
        self.names.remove(&from);
        self.names.insert(to, ino);
        Ok(())
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the model knows these refusals and no other")]
fn why(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "not found",
        Error::Exists { .. } => "exists",
        Error::NotADirectory { .. } => "not a directory",
        Error::IsADirectory { .. } => "is a directory",
        Error::NotEmpty { .. } => "not empty",
        Error::IntoItself { .. } => "into itself",
        other => panic!("no operation of the model is refused so: {other}"),
    }
}

/// Does one step on both sides; `seen` are all things ever made, so that steps meet what is gone, too.
fn step(service: &MdService<MapBackend>, model: &mut Model, seen: &mut Vec<Ino>, step: &Step) {
    let at = |place: &Place| (seen[place.0 % seen.len()], place.1);
    let (wanted, got) = match step {
        Step::Make(kind, place) => {
            let (parent, name) = at(place);
            let made = match kind {
                Kind::Directory => service.mkdir(parent, &[name], &plain()),
                Kind::Symlink => service.symlink(parent, &[name], b"target", &plain()),
                Kind::File | Kind::Fifo | Kind::Socket | Kind::BlockDevice | Kind::CharDevice => {
                    service.create(parent, &[name], &plain())
                }
            };
            let ino = made.as_ref().map_or(Ino(u64::MAX), |made| made.ino);
            let wanted = model.put((parent, name), ino);
            if wanted.is_ok() {
                model.kinds.insert(ino, *kind);
                seen.push(ino);
            }
            (wanted, made.map(drop))
        }
        Step::Link(from, to) => {
            let (from, to) = (at(from), at(to));
            let Ok(ino) = model.find(from) else { return };
            let wanted = if model.is_directory(ino) { Err("is a directory") } else { model.put(to, ino) };
            (wanted, service.link(ino, to.0, &[to.1]).map(drop))
        }
        Step::Unlink(place) => {
            let place = at(place);
            (model.remove(place, false), service.unlink(place.0, &[place.1]).map(drop))
        }
        Step::Rmdir(place) => {
            let place = at(place);
            (model.remove(place, true), service.rmdir(place.0, &[place.1]).map(drop))
        }
        Step::Rename(from, to) => {
            let (from, to) = (at(from), at(to));
            (model.rename(from, to), service.rename(from.0, &[from.1], to.0, &[to.1]).map(drop))
        }
    };
    assert_eq!(got.map_err(|error| why(&error)), wanted, "{step:?}");
}

fn any_step() -> impl Strategy<Value = Step> {
    let place = || (0..12_usize, b'a'..b'e');
    let kind = prop_oneof![2 => Just(Kind::Directory), 1 => Just(Kind::File), 1 => Just(Kind::Symlink)];
    prop_oneof![
        4 => (kind, place()).prop_map(|(kind, place)| Step::Make(kind, place)),
        1 => (place(), place()).prop_map(|(from, to)| Step::Link(from, to)),
        1 => place().prop_map(Step::Unlink),
        1 => place().prop_map(Step::Rmdir),
        4 => (place(), place()).prop_map(|(from, to)| Step::Rename(from, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn operations_are_those_of_the_model(steps in prop::collection::vec(any_step(), 1..120)) {
        let store = backends::map();
        let services = [MdService::open(&store).unwrap(), MdService::open(&store).unwrap()];
        let mut model = Model::default();
        model.kinds.insert(ROOT, Kind::Directory);
        let mut seen = vec![ROOT];
        for (number, one) in steps.iter().enumerate() {
            step(&services[number % 2], &mut model, &mut seen, one);
        }
        let mut names = BTreeMap::new();
        for directory in model.kinds.keys() {
            for dirent in services[0].readdir(*directory) {
                let dirent = dirent.unwrap();
                names.insert((dirent.parent, dirent.name[0]), dirent.ino().unwrap());
            }
        }
        prop_assert_eq!(names, model.names);
        check_sound(&services[0]);
    }
}
