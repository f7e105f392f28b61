//! `LS.TABLE`: tables are made, listed and dropped.

use super::command::Call;
use super::connection::Connection;
use super::fault::{Fault, quoted};
use super::task::{Context, Step, Stepped, Task, Work};
use super::words;
use super::writer::Writer;
use domains::schema::{Field, FieldType, Rule, TableHome, TableKind, TableSpec};
use domains::{Answer, Error, Op, TableInfo, TableStatus};

/// One operation on the catalog.
#[derive(Debug)]
struct OnCatalog {
    op: Option<Op>,
    /// The table whose figures are wanted.
    wanted: Option<String>,
}

impl Work for OnCatalog {
    fn start(&mut self, context: &mut Context<'_, '_>, _reply: &mut Writer) -> Stepped {
        context.ask(0, self.op.take().expect("a task begins once"));
        Ok(Step::Wait)
    }

    fn answered(
        &mut self,
        _number: u32,
        result: &Result<Answer, Error>,
        _context: &mut Context<'_, '_>,
        reply: &mut Writer,
    ) -> Stepped {
        match result {
            Ok(Answer::Table(_) | Answer::Done) => reply.simple("OK"),
            Ok(Answer::Tables(tables)) => {
                reply.array(tables.len());
                tables.iter().for_each(|table| list(table, reply));
            }
            Ok(Answer::Status(status)) => {
                let name = self.wanted.take().expect("figures are asked for one table");
                let found = status.tables.iter().find(|table| table.info.name == name);
                figures(found.ok_or(Error::NoSuchTable { name })?, reply);
            }
            Ok(other) => unreachable!("the catalog was asked, and the answer is {other:?}"),
            Err(error) => return Err(error.clone().into()),
        }
        Ok(Step::Done)
    }
}

fn list(table: &TableInfo, reply: &mut Writer) {
    reply.array(4);
    for word in [&table.name, &table.spec.type_name] {
        reply.bulk(word.as_bytes());
    }
    reply.bulk(table.spec.kind.name().as_bytes());
    reply.bulk(table.spec.home.name().as_bytes());
}

fn figures(table: &TableStatus, reply: &mut Writer) {
    let TableSpec { type_name, kind, home, key, record, .. } = &table.info.spec;
    reply.map(9);
    for (name, word) in
        [("name", table.info.name.as_str()), ("type", type_name), ("kind", kind.name()), ("home", home.name())]
    {
        reply.bulk(name.as_bytes());
        reply.bulk(word.as_bytes());
    }
    for (name, fields) in [("key", key), ("record", record)] {
        reply.bulk(name.as_bytes());
        reply.array(fields.len());
        fields.iter().for_each(|field| reply.bulk(format!("{} {}", field.name, field.field_type).as_bytes()));
    }
    for (name, number) in
        [("pairs", table.pairs), ("index_bytes", table.index_bytes), ("record_bytes", table.record_bytes)]
    {
        reply.bulk(name.as_bytes());
        reply.integer(i64::try_from(number).unwrap_or(i64::MAX));
    }
}

/// `LS.TABLE CREATE name [HASH|ORDERED|SACK|CLIENTHASH32|CLIENTHASH64] [COMPACTSLOTS] [VOLATILE] | LIST | INFO name | DROP name`.
pub(crate) fn table(_connection: &mut Connection, call: &Call<'_>) -> Result<Task, Fault> {
    let is = |word, args| call.args.is(1, word) && call.len() == args;
    let name = || words::table(call.at(2)).map(|name| name.to_string());
    let mut wanted = None;
    let op = if call.args.is(1, "CREATE") && call.len() >= 3 {
        Op::CreateTable { name: name()?, spec: spec(call)? }
    } else if is("LIST", 2) {
        Op::ListTables
    } else if is("INFO", 3) {
        wanted = Some(name()?);
        Op::Status
    } else if is("DROP", 3) {
        Op::DestroyTable { name: name()? }
    } else {
        return Err(Fault::Subcommand { command: "LS.TABLE", name: quoted(call.at(1)) });
    };
    Ok(Box::new(OnCatalog { op: Some(op), wanted }))
}

/// The spec of a table of plain bytes; or of keys of 4 or 8 bytes, each a number that the client hashed.
fn spec(call: &Call<'_>) -> Result<TableSpec, Fault> {
    let (mut kind, mut home, mut key, mut rules) = (TableKind::Hash, TableHome::Persistent, None, Vec::new());
    for at in 3..call.len() {
        let is = |word| call.args.is(at, word);
        let kinds = [
            ("HASH", TableKind::Hash, None),
            ("ORDERED", TableKind::Ordered, None),
            ("SACK", TableKind::Sack, None),
            ("CLIENTHASH32", TableKind::ClientHash, Some(FieldType::Unsigned(32))),
            ("CLIENTHASH64", TableKind::ClientHash, Some(FieldType::Unsigned(64))),
        ];
        match kinds.into_iter().find(|(word, ..)| is(word)) {
            Some((_, wanted, of)) => (kind, key) = (wanted, of),
            None if is("VOLATILE") => home = TableHome::Volatile,
            None if is("COMPACTSLOTS") => rules = vec![Rule::CompactSlots],
            None => {
                let want = "HASH, ORDERED, SACK, CLIENTHASH32, CLIENTHASH64, COMPACTSLOTS or VOLATILE";
                return Err(Fault::Malformed { found: quoted(call.at(at)), want });
            }
        }
    }
    let key = key.map(|field_type| Field { name: "key".to_owned(), field_type });
    Ok(TableSpec { key: key.into_iter().collect(), rules, ..lostore::plain_spec(kind, home) })
}
