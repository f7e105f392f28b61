//! What a command is: a name, its keys, and the function that carries it out.
//!
//! Contract: the table of all commands is sorted by name and is the one truth about what is served: the dispatcher, `COMMAND` and
//! the counts of arguments read it.

use super::connection::Connection;
use super::fault::{Fault, quoted};
use super::parser::Args;
use super::task::Task;
use super::view::View;
use super::writer::Writer;
use segments::TableId;
use txn::CommitSet;

/// A command as it is carried out on a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) args: Args<'a>,
    /// Milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

impl<'a> Call<'a> {
    /// An argument that the count has promised.
    pub(crate) fn at(&self, position: usize) -> &'a [u8] {
        self.args.at(position)
    }

    pub(crate) fn len(&self) -> usize {
        self.args.len()
    }

    /// The command's name as messages have it.
    pub(crate) fn name(&self) -> String {
        name_of(self.args)
    }

    /// An argument as an integer.
    pub(crate) fn integer(&self, position: usize) -> Result<i64, Fault> {
        super::number::integer(self.at(position)).ok_or(Fault::NotInteger)
    }
}

/// The name of a command as messages have it.
pub(crate) fn name_of(args: Args<'_>) -> String {
    quoted(args.at(0)).to_ascii_lowercase()
}

/// Where the keys are among the arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keys {
    /// There are none.
    None,
    /// From here, every so many, to the end or to the one at `last`.
    Range { first: usize, last: Option<usize>, step: usize },
    /// As many as this argument says, each followed by its value.
    Counted(usize),
}

/// What a commit that was made without looking means when it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// `OK`, or nothing.
    OkOrNull,
    /// 1, or 0.
    OneOrZero,
}

/// A commit that needs no look at what is there.
#[derive(Debug)]
pub(crate) struct Blind {
    pub(crate) set: CommitSet,
    pub(crate) outcome: Outcome,
}

/// How a command on keys may be carried out without a view.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fast {
    /// Not.
    No,
    /// It is a lookup.
    Get,
    /// It looks at a part of one value.
    Part(fn(&Connection, &Call<'_>) -> Result<Task, Fault>),
    /// It is one commit, if its arguments make it so.
    Put(fn(&Call<'_>, TableId) -> Result<Option<Blind>, Fault>),
}

/// A function over a view. What it wrote is dropped when it fails.
pub(crate) type Run = fn(&Call<'_>, &mut View, &mut Writer) -> Result<(), Fault>;

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// It looks at its keys.
    Read(Run, Fast),
    /// It changes its keys.
    Write(Run, Fast),
    /// It is answered without the domain and without the connection's state.
    Say(fn(&Call<'_>, &mut Writer) -> Result<(), Fault>),
    /// It looks at or changes the connection.
    Connection(fn(&mut Connection, &Call<'_>, &mut Writer) -> Result<(), Fault>),
    /// It asks the domain in its own way.
    Task(fn(&mut Connection, &Call<'_>) -> Result<Task, Fault>),
    /// It carries out what was put off since `MULTI`.
    Exec,
}

/// What a command is for, as `COMMAND` groups them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    Connection,
    Generic,
    Server,
    Store,
    String,
    Transactions,
}

impl Group {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Server => "server",
            Self::Store => "lostore",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// In capitals.
    pub(crate) name: &'static str,
    /// Arguments with the name; at least so many when negative.
    pub(crate) arity: i32,
    pub(crate) keys: Keys,
    pub(crate) group: Group,
    pub(crate) does: Does,
    /// What it does, in a sentence.
    pub(crate) summary: &'static str,
}

impl Spec {
    /// Whether the command may have so many arguments, its name included.
    pub(crate) fn takes(&self, args: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { args >= arity } else { args == arity }
    }

    /// The keys among the arguments.
    pub(crate) fn keys<'a>(&self, args: Args<'a>) -> Vec<&'a [u8]> {
        match self.keys {
            Keys::None => Vec::new(),
            Keys::Range { first, last, step } => {
                let end = last.map_or(args.len(), |last| last + 1).min(args.len());
                (first..end).step_by(step).map(|at| args.at(at)).collect()
            }
            Keys::Counted(at) => {
                let count = args.get(at).and_then(super::number::integer);
                let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0).min(args.len());
                (0..count).filter_map(|key| args.get(at + 1 + 2 * key)).collect()
            }
        }
    }

    pub(crate) fn writes(&self) -> bool {
        matches!(self.does, Does::Write(..))
    }
}

/// The command of this name, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut capitals = [0; super::table::NAME_BYTES_MAX];
    let capitals = capitals.get_mut(..name.len())?;
    capitals.copy_from_slice(name);
    capitals.make_ascii_uppercase();
    let at = super::table::COMMANDS.binary_search_by(|spec| spec.name.as_bytes().cmp(capitals)).ok()?;
    Some(&super::table::COMMANDS[at])
}
