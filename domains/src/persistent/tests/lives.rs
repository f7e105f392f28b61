//! What one life of a store leaves for those after it: ids, cuts, the fate of epochs.

use super::*;

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
