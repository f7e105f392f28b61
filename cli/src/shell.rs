//! `shell`: the verbs of the command line one after the other, on one connection, with history and completion; or a script of them.
//!
//! Contract: a line is what may stand behind `lostore` on a command line, understood by the same parser; between `begin` and
//! `commit` a line that begins as a statement of `txn` is one. A statement may span lines: while a bracket or a quote is open, or
//! behind a backslash at the line's end. What is typed on a terminal goes on after a failure; a script ends at its first one,
//! with its exit code, unless it was told to keep going.
//!
//! What it does not do: reads inside `begin … commit` do not see its statements, which are sent as one at `commit`.

use crate::args::{Args, Shell, Target, Verb};
use crate::failure::{Exit, Failure, SCRIPT, talk};
use crate::output::{Format, Output};
use crate::reach::{AnyStore, reach};
use crate::script::{self, Statement};
use clap::{CommandFactory, FromArgMatches, parser::ValueSource};
use std::io::{BufRead, IsTerminal};

mod complete;
mod edit;
mod history;
mod words;

/// A running shell.
struct Session {
    store: AnyStore,
    target: Target,
    format: Format,
    /// Statements since `begin`, with the text they were read from.
    open: Option<Vec<Statement>>,
}

/// What comes after a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    More,
    Leave,
}

const HELP: &str = "\
What may stand behind `lostore` on a command line may stand here: get, put, scan, follow, table, schema, status ...
`help VERB` shows a verb. Words are split at spaces; 'single quotes' keep them, JSON keeps itself: put users/alice {\"age\": 3}
A statement goes on over lines while a bracket or quote is open, or behind a \\ at the line's end.

  begin             what follows is one transaction: if, put, insert, update, append, del as in `help txn`
  commit [--no-wait] all of it or nothing
  abort             forget it
  exit, ^D          leave";

pub(crate) fn shell(target: &Target, args: &Shell, format: Format) -> Result<(), Failure> {
    let store = reach(target)?;
    let target = Target { held: Some(store.clone()), ..target.clone() };
    let mut session = Session { store, target, format, open: None };
    if std::io::stdin().is_terminal() {
        return edit::run(&mut session);
    }
    session.script(std::io::stdin().lock(), args.keep_going)
}

impl Session {
    /// Runs statements up to the end of the input or the first that fails.
    fn script(&mut self, input: impl BufRead, keep_going: bool) -> Result<(), Failure> {
        let (mut text, mut first, mut failed) = (String::new(), 1, None);
        for (at, line) in input.lines().enumerate() {
            let line = line.map_err(|error| Failure::file("read", "stdin", &error))?;
            if text.is_empty() {
                first = at + 1;
            }
            text.push_str(&line);
            if !words::is_whole(&text) {
                text.push('\n');
                continue;
            }
            match self.line(&std::mem::take(&mut text)) {
                Ok(Next::More) => {}
                Ok(Next::Leave) => break,
                Err(failure) if keep_going && failure.exit != Exit::Unheard => {
                    failure.at_line(first).tell();
                    failed = failed.or(Some(failure.exit));
                }
                Err(failure) => return Err(failure.at_line(first)),
            }
        }
        if !text.is_empty() {
            let what = "the script ends inside a statement: a bracket or a quote is open";
            return Err(unfinished(what, "close it").at_line(first));
        }
        if self.open.take().is_some() {
            return Err(unfinished(
                "the script ends inside a transaction, of which nothing was done",
                "end it: commit",
            ));
        }
        match failed {
            None => Ok(()),
            Some(exit) => Err(Failure { exit, ..Failure::no("some statements failed; the others were carried out") }),
        }
    }

    /// Runs one statement.
    fn line(&mut self, text: &str) -> Result<Next, Failure> {
        let text = words::joined(text);
        let text = text.trim();
        let first = text.split_whitespace().next().unwrap_or("");
        match (first, &mut self.open) {
            ("", _) => return Ok(Next::More),
            (comment, _) if comment.starts_with('#') => return Ok(Next::More),
            ("exit" | "quit", _) => return Ok(Next::Leave),
            ("begin", Some(_)) => return Err(wrong("a transaction is open already", "end it: commit or abort")),
            ("begin", open) => *open = Some(Vec::new()),
            ("commit" | "abort", None) => return Err(wrong("no transaction is open", "begin one: begin")),
            ("abort", open) => *open = None,
            ("commit", open) => {
                let statements = open.take().unwrap_or_default();
                self.commit(text, &statements)?;
            }
            ("if" | "put" | "insert" | "update" | "append" | "del", Some(statements)) => {
                statements.extend(script::parse(text)?);
            }
            ("if" | "insert" | "update", None) => {
                return Err(wrong(&format!("'{first}' stands inside a transaction only"), "begin one: begin"));
            }
            _ => self.verb(text)?,
        }
        Ok(Next::More)
    }

    fn commit(&mut self, text: &str, statements: &[Statement]) -> Result<(), Failure> {
        let no_wait = match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["commit"] => false,
            ["commit", "--no-wait"] => true,
            _ => return Err(wrong(&format!("'{text}' is no commit"), "write commit, or commit --no-wait; begin anew")),
        };
        if statements.is_empty() {
            return Ok(());
        }
        let mut output = Output::stdout(self.format);
        script::run(&self.store, statements, no_wait, &mut output)?;
        output.flush()
    }

    /// Runs a verb of the command line.
    fn verb(&mut self, text: &str) -> Result<(), Failure> {
        let mut words = words::split(text)?;
        if words[0] == "help" && words.len() == 1 {
            let mut output = Output::stdout(Format::Table);
            output.line(HELP)?;
            return output.flush();
        }
        if words.iter().any(|word| word == "-") {
            return Err(wrong("stdin is where the statements come from", "write the bytes, or name a file: @file"));
        }
        words.insert(0, "lostore".to_owned());
        let parsed = Args::command().try_get_matches_from(words).and_then(|matches| {
            let args = Args::from_arg_matches(&matches)?;
            let said = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
            Ok((args, said("format"), said("store") || said("socket")))
        });
        let (args, formatted, elsewhere) = match parsed {
            Ok(parsed) => parsed,
            Err(error) if !error.use_stderr() => {
                let _ = error.print();
                return Ok(());
            }
            Err(error) => {
                let _ = error.print();
                return Err(Failure { exit: Exit::Usage, ..Failure::no("the statement is not understood") });
            }
        };
        if elsewhere {
            return Err(wrong("a shell speaks to one store", "leave, and start another for the other store"));
        }
        allowed(&args.verb)?;
        let format = if formatted { args.format } else { self.format };
        let mut output = Output::stdout(format);
        let args = Args { target: self.target.clone(), format, verb: args.verb };
        crate::dispatch(args, &mut output)?;
        output.flush()
    }
}

/// Verbs that have no place here, and what to do instead.
fn allowed(verb: &Verb) -> Result<(), Failure> {
    let (what, help) = match verb {
        Verb::Serve(_) | Verb::Demo(_) => ("it starts a server of its own", "run it outside of the shell"),
        Verb::Shell(_) => ("this is one", "just go on"),
        Verb::Txn(_) => ("`txn` reads its statements from stdin", "write begin, the statements, commit"),
        Verb::Append(append) if append.value == "-" => {
            ("stdin is where the statements come from", "write the bytes, or name a file: @file")
        }
        _ => return Ok(()),
    };
    Err(wrong(what, help))
}

fn wrong(what: &str, help: &str) -> Failure {
    Failure::usage(what, help)
}

fn unfinished(what: &str, help: &str) -> Failure {
    Failure { exit: Exit::Usage, code: Some(SCRIPT), what: what.to_owned(), help: help.to_owned() }
}

impl Failure {
    /// The same, naming the line of the script where the statement begins.
    fn at_line(&self, line: usize) -> Self {
        if self.exit == Exit::Unheard {
            return self.clone();
        }
        Self { what: format!("statement at line {line}: {}", self.what), ..self.clone() }
    }
}

/// Says how a statement of a terminal failed, and goes on.
fn told(failure: &Failure) {
    failure.tell();
    if failure.exit == Exit::Unheard {
        talk("nobody reads");
    }
}

#[cfg(test)]
mod tests;
