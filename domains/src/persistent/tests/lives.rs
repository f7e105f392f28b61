//! What one life of a store leaves for those after it: ids, cuts, the fate of epochs.

use super::*;
use segments::superblock::CUTS_MAX;
use std::collections::BTreeSet;

/// Every id that an answer tells for the table of this name.
fn ids_told(answer: &Answer, name: &str) -> Vec<TableId> {
    let infos: Vec<&crate::TableInfo> = if let Answer::Table(info) = answer {
        vec![info]
    } else if let Answer::Tables(infos) = answer {
        infos.iter().collect()
    } else {
        let Answer::Status(status) = answer else { panic!("another answer: {answer:?}") };
        status.tables.iter().map(|table| &table.info).collect()
    };
    infos.into_iter().filter(|info| info.name == name).map(|info| info.id).collect()
}

/// Whoever was told the id of a table goes on with that table after a crash, or finds that it is gone. The crash comes after
/// every step of the table's creation, while others look for the table in every way there is.
#[test]
fn an_id_that_was_told_is_never_given_to_another_table() {
    let mut runs_told = 0;
    for steps in 0..40 {
        let mut bench = Bench::new(tiny());
        bench.create("kept", TableKind::Ordered, TableHome::Persistent);
        let create = Op::CreateTable { name: "a".to_owned(), spec: spec_of(&["x"]) };
        bench.engine.submit(OpId(1), create, bench.now);
        let mut told = Vec::new();
        for step in 0..steps {
            let asks = [Op::OpenTable { name: "a".to_owned(), spec: None }, Op::ListTables, Op::Status];
            for (ask, op) in (0..).zip(asks) {
                bench.engine.submit(OpId(1000 + step * 3 + ask), op, bench.now);
            }
            bench.run();
            let mut answers = Vec::new();
            bench.engine.take_answers(&mut answers);
            told.extend(
                answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).flat_map(|told| ids_told(told, "a")),
            );
        }
        bench.reopen();
        told.dedup();
        let listed = bench.call(Op::ListTables).unwrap();
        assert!(told.iter().all(|id| ids_told(&listed, "a").contains(id)), "{steps} steps: {told:?} in {listed:?}");
        let other = bench.create("b", TableKind::Hash, TableHome::Persistent);
        assert!(!told.contains(&other), "after {steps} steps {other:?} was given again");
        runs_told += u32::from(!told.is_empty());
    }
    assert!(runs_told > 10, "the table was there in some of the runs: {runs_told}");
}

/// A number says nothing across lives: the first epoch of this one is later than all that were lost before it.
#[test]
fn an_epoch_of_a_life_before_survived_or_is_lost() {
    let mut bench = Bench::new(tiny());
    let table = bench.create("t", TableKind::Hash, TableHome::Persistent);
    let kept = bench.put(table, b"a", b"1").epoch;
    bench.force();
    let lost = bench.put(table, b"a", b"2").epoch;
    let report = bench.reopen();
    assert!(report.cut >= kept && report.cut < lost, "{report:?}");
    for life in 0..3 {
        let here = bench.engine.horizon();
        assert_eq!(bench.call(Op::Await { epoch: kept }), Ok(Answer::Persistent(here)), "life {life}");
        assert_eq!(bench.call(Op::Await { epoch: lost }), Err(Error::EpochLost { epoch: lost }), "life {life}");
        let unborn = EpochId::new(here.incarnation.next(), 1);
        assert!(matches!(bench.call(Op::Await { epoch: unborn }), Err(Error::Limit { .. })), "life {life}");
        let next = bench.put(table, b"b", b"3").epoch;
        assert!(matches!(bench.call(Op::Await { epoch: next }), Ok(Answer::Persistent(_))), "life {life}");
        bench.reopen();
    }
}

/// What a life leaves behind for the next to begin from, as recovery knows it, and ever the same way to it.
struct Lives {
    bench: Bench,
    superblock: Superblock,
    cuts: Cuts,
    named: BTreeSet<EpochId>,
}

impl Lives {
    /// Writes in the present life, ends it with a crash, and says which epoch was the last to be persistent.
    fn write(&mut self) -> EpochId {
        let open = self.bench.call(Op::OpenTable { name: "t".to_owned(), spec: None });
        let table = if let Ok(Answer::Table(info)) = open {
            info.id
        } else {
            // A life that began without a scan knows nothing, and makes the table once more with the same id.
            self.bench.create("t", TableKind::Hash, TableHome::Persistent)
        };
        self.bench.put(table, &self.cuts.present().0.to_le_bytes(), b"written");
        let persistent = self.bench.force().persistent;
        self.bench.put(table, b"lost", b"with the crash");
        self.named.extend(self.cuts.last());
        persistent
    }

    /// Begins the next life as a recovery does, but without its scan, so that many lives do not take the square of their time.
    fn next(&mut self) {
        let cut = self.write();
        self.superblock = recovery::next_life(&self.superblock, cut, self.bench.device.pages(), &self.named).unwrap();
        self.cuts = self.cuts.clone().ended(cut);
        let core = recovery::core_for(&self.bench.config, &self.superblock);
        let (pages, cuts) = (self.bench.device.pages(), self.cuts.clone());
        self.bench.engine =
            recovery::begin(core, &self.bench.config, &self.superblock, pages, cuts, Default::default());
    }

    /// Writes, then recovers for good: it finds what all lives wrote, and begins the next as expected.
    fn recover(&mut self) {
        let cut = self.write();
        write_superblock(&mut Blocking::new(&mut self.bench.device), &self.superblock).unwrap();
        let report = self.bench.reopen();
        let written = u64::from(self.cuts.present().0);
        self.cuts = self.cuts.clone().ended(cut);
        assert_eq!((report.cut, report.pairs), (cut, written), "{}", report.end);
        assert!(report.cuts == self.cuts, "{} and {} cuts", report.cuts.iter().count(), self.cuts.iter().count());
        self.superblock = recovery::next_life(&self.superblock, cut, self.bench.device.pages(), &self.named).unwrap();
    }
}

/// The superblock has room for the cuts of 8,176 lives. Those before it are named by the segments of the lives after them.
#[test]
fn a_store_is_opened_and_written_twenty_thousand_times() {
    let mut bench = Bench::new(Config {
        segment_pages: 8,
        epoch_interval_nanos: 0,
        cache_bytes: 0,
        // A life that began without a scan knows nothing of those before it, and a checkpoint of it neither.
        reclaims: false,
        ..tiny()
    });
    let copies = read_copies(&mut Blocking::new(&mut bench.device)).unwrap();
    let superblock = copies.choose().unwrap().superblock;
    let cuts = Cuts::none(superblock.incarnation);
    let mut lives = Lives { bench, superblock, cuts, named: BTreeSet::new() };
    let full = u32::try_from(CUTS_MAX).unwrap();
    let recovered: BTreeSet<u32> = (1..4).chain(full - 1..full + 2).chain([20_000]).collect();
    while lives.cuts.present().0 <= 20_000 {
        if recovered.contains(&lives.cuts.present().0) {
            lives.recover();
        } else {
            lives.next();
        }
    }
    assert_eq!((lives.superblock.cuts.len(), lives.cuts.iter().count()), (CUTS_MAX, 20_000));
    // Cuts that no segment names are not dropped for others: the store is refused as it is, by a code of its own.
    let (cut, pages) = (EpochId::new(lives.cuts.present(), 1), lives.bench.device.pages());
    let unnamed = recovery::next_life(&lives.superblock, cut, pages, &BTreeSet::new());
    assert_eq!(unnamed.map_err(|error| error.code()).unwrap_err(), 107);
}
