//! The shell on a terminal: a line editor with history, completion, and statements of several lines.
//!
//! Contract: ^C drops what was typed, ^D leaves; what is pasted is not run before it is whole. A failure is told and the shell goes on.

use super::{Next, Session, complete, history, told, words};
use crate::failure::{Failure, talk};
use crate::reach::AnyStore;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};

/// Statements that are kept.
const HISTORY_MAX: usize = 2000;

/// What the editor asks.
struct Adviser {
    store: AnyStore,
}

impl Completer for Adviser {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete::candidates(&words::joined(&line[..at]), &self.store))
    }
}

impl Validator for Adviser {
    fn validate(&self, text: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let whole = words::is_whole(text.input());
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for Adviser {
    type Hint = String;
}

impl Highlighter for Adviser {}

impl Helper for Adviser {}

/// Reads and runs statements until the user leaves.
pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    let broken = |error: ReadlineError| Failure::file("use", "the terminal", &std::io::Error::other(error));
    let config = Config::builder().max_history_size(HISTORY_MAX).map_err(broken)?.bracketed_paste(true).build();
    let mut editor: Editor<Adviser, FileHistory> = Editor::with_config(config).map_err(broken)?;
    editor.set_helper(Some(Adviser { store: session.store.clone() }));
    let kept = history::file();
    if let Some(path) = &kept {
        // One that cannot be read is one that is not there.
        let _ = editor.load_history(path);
    }
    talk("`help` says what may be written here; ^D leaves");
    loop {
        let prompt = if session.open.is_some() { "lostore*> " } else { "lostore> " };
        match editor.readline(prompt) {
            Ok(line) => {
                if !line.trim().is_empty() {
                    let _ = editor.add_history_entry(line.as_str());
                }
                match session.line(&line) {
                    Ok(Next::More) => {}
                    Ok(Next::Leave) => break,
                    Err(failure) => told(&failure),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    if session.open.take().is_some() {
        talk("the open transaction is dropped; nothing of it was done");
    }
    if let Some(path) = &kept {
        let _ = editor.append_history(path);
    }
    Ok(())
}
