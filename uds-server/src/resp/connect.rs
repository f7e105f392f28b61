//! The commands on the connection itself: dialect, names, databases, transactions' beginning and end.

use super::command::Call;
use super::connection::{Connection, DATABASES, Multi};
use super::fault::{Fault, quoted};
use super::writer::{Dialect, Writer};
use domains::Level;

/// The version of Redis whose commands and replies are kept to; clients decide by it what they send.
pub(crate) const REDIS_VERSION: &str = "7.4.0";

/// Bytes of a name that a client gives itself.
const NAME_BYTES_MAX: usize = 64;

/// `HELLO [2|3 [AUTH user password] [SETNAME name]]`.
pub(crate) fn hello(connection: &mut Connection, call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    let dialect = match call.args.get(1) {
        None => connection.dialect,
        Some(b"2") => Dialect::Resp2,
        Some(b"3") => Dialect::Resp3,
        Some(text) if super::number::integer(text).is_some() => return Err(Fault::NoSuchDialect),
        Some(_) => return Err(Fault::Text("ERR Protocol version is not an integer or out of range")),
    };
    let mut name = None;
    let mut at = 2;
    while at < call.len() {
        if call.args.is(at, "AUTH") {
            return Err(NO_PASSWORDS);
        }
        if !call.args.is(at, "SETNAME") || at + 1 >= call.len() {
            return Err(Fault::Syntax);
        }
        name = Some(name_in(call.at(at + 1))?);
        at += 2;
    }
    connection.dialect = dialect;
    connection.name = name.unwrap_or_else(|| std::mem::take(&mut connection.name));
    out.set_dialect(dialect);
    out.map(7);
    for (key, value) in [("server", "lostore"), ("version", REDIS_VERSION)] {
        out.bulk(key.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.integer(if dialect == Dialect::Resp2 { 2 } else { 3 });
    out.bulk(b"id");
    out.integer(i64::try_from(connection.id).unwrap_or(i64::MAX));
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(key.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

const NO_PASSWORDS: Fault = Fault::Unserved {
    what: "AUTH",
    instead: "there are no passwords, a client has the rights of its user; leave it out",
};

pub(crate) fn auth(_connection: &mut Connection, _call: &Call<'_>, _out: &mut Writer) -> Result<(), Fault> {
    Err(NO_PASSWORDS)
}

pub(crate) fn quit(connection: &mut Connection, _call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    connection.quit = true;
    out.simple("OK");
    Ok(())
}

pub(crate) fn reset(connection: &mut Connection, _call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    connection.reset();
    out.set_dialect(connection.dialect);
    out.simple("RESET");
    Ok(())
}

pub(crate) fn select(connection: &mut Connection, call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    let database = call.integer(1).map_err(|_| Fault::Text("ERR invalid DB index"))?;
    let database = u8::try_from(database).ok().filter(|database| *database < DATABASES);
    connection.select(database.ok_or(Fault::NoSuchDatabase)?);
    out.simple("OK");
    Ok(())
}

/// `LS.LEVEL [COMMITTED|PERSISTENT]`.
pub(crate) fn level(connection: &mut Connection, call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    match (call.len(), call.args.is(1, "COMMITTED"), call.args.is(1, "PERSISTENT")) {
        (1, ..) => {
            let level = if connection.level == Level::Committed { "committed" } else { "persistent" };
            out.bulk(level.as_bytes());
            return Ok(());
        }
        (_, true, _) => connection.level = Level::Committed,
        (_, _, true) => connection.level = Level::Persistent,
        (_, false, false) => {
            return Err(Fault::Malformed { found: quoted(call.at(1)), want: "COMMITTED or PERSISTENT" });
        }
    }
    out.simple("OK");
    Ok(())
}

pub(crate) fn multi(connection: &mut Connection, _call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    if connection.multi.is_some() {
        return Err(Fault::Text("ERR MULTI calls can not be nested"));
    }
    connection.multi = Some(Multi::default());
    out.simple("OK");
    Ok(())
}

/// `DISCARD` and `LS.ABORT`.
pub(crate) fn discard(connection: &mut Connection, call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    if !connection.discard() {
        let text = "ERR LS.ABORT without MULTI";
        return Err(Fault::Text(if call.args.is(0, "DISCARD") { "ERR DISCARD without MULTI" } else { text }));
    }
    out.simple("OK");
    Ok(())
}

pub(crate) fn unwatch(connection: &mut Connection, _call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    connection.watched.clear();
    out.simple("OK");
    Ok(())
}

/// `CLIENT` and the word behind it.
pub(crate) fn client(connection: &mut Connection, call: &Call<'_>, out: &mut Writer) -> Result<(), Fault> {
    let is = |word, args| call.args.is(1, word) && call.len() == args;
    if is("ID", 2) {
        out.integer(i64::try_from(connection.id).unwrap_or(i64::MAX));
    } else if is("GETNAME", 2) {
        out.bulk_or_null((!connection.name.is_empty()).then_some(connection.name.as_bytes()));
    } else if is("SETNAME", 3) {
        connection.name = name_in(call.at(2))?;
        out.simple("OK");
    } else if is("SETINFO", 4) {
        let value = name_in(call.at(3))?;
        match (call.args.is(2, "LIB-NAME"), call.args.is(2, "LIB-VER")) {
            (true, _) => connection.library.0 = value,
            (_, true) => connection.library.1 = value,
            (false, false) => {
                return Err(Fault::Text("ERR Unrecognized option; CLIENT SETINFO has LIB-NAME and LIB-VER"));
            }
        }
        out.simple("OK");
    } else if is("INFO", 2) {
        out.verbatim(&format!("{}\n", line(connection, call)));
    } else if call.args.is(1, "LIST") {
        // One line: a connection knows of itself only.
        out.verbatim(&format!("{}\n", line(connection, call)));
    } else if is("NO-EVICT", 3) || is("NO-TOUCH", 3) {
        out.simple("OK");
    } else {
        return Err(Fault::Subcommand { command: "CLIENT", name: quoted(call.at(1)) });
    }
    Ok(())
}

/// A client as `CLIENT INFO` prints it.
fn line(connection: &Connection, call: &Call<'_>) -> String {
    let age = call.now_ms.saturating_sub(connection.since.unix_ms) / 1000;
    let multi = connection.multi.as_ref().map_or(-1, |multi| i64::try_from(multi.commands.len()).unwrap_or(i64::MAX));
    format!(
        "id={} addr=unix:0 name={} age={age} idle=0 flags=U db={} sub=0 psub=0 multi={multi} watch={} cmd=client user=default \
         lib-name={} lib-ver={} resp={}",
        connection.id,
        connection.name,
        connection.database.map_or(-1, i16::from),
        connection.watched.len(),
        connection.library.0,
        connection.library.1,
        if connection.dialect == Dialect::Resp2 { 2 } else { 3 },
    )
}

/// A name without what would disturb a list or a terminal.
fn name_in(text: &[u8]) -> Result<String, Fault> {
    let plain = text.len() <= NAME_BYTES_MAX && text.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(text).ok().filter(|_| plain);
    name.map(str::to_owned).ok_or(Fault::Text(
        "ERR Client names cannot contain spaces, newlines or special characters, and have at most 64 bytes.",
    ))
}
