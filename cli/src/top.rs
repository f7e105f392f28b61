//! `top`: what a running server does, drawn anew every second.
//!
//! Contract: all figures are the server's own, of its `/metrics` (`design/metrics.md`); rates are differences of two readings. On a
//! terminal it draws on a screen of its own and gives the terminal back as it was, also when it is interrupted. With --once, or into a
//! pipe, it only prints. It fits 80 columns and 24 lines, and uses more when there are more.

use crate::args::{Target, Top};
use crate::failure::Failure;
use crate::output::{Format, Output};
use lostore::open::SOCKET_FILE;
use reading::Reading;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

mod figures;
mod frame;
mod reading;

/// The size that is drawn for when the terminal does not tell its own.
const SIZE: (usize, usize) = (80, 24);
/// Own screen and no cursor; the line is not wrapped at its end.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";

pub(crate) fn top(target: &Target, args: &Top, output: &mut Output) -> Result<(), Failure> {
    let socket = target.socket.clone().unwrap_or_else(|| target.store.join(SOCKET_FILE));
    let interval = Duration::from_millis(args.interval_ms);
    let mut before = Reading::take(&socket)?;
    let signals = watched()?;
    if args.once {
        return match signals.recv_timeout(interval) {
            Ok(signal) if signal != SIGWINCH => Err(Failure::no("interrupted before the interval was over")),
            Ok(_) | Err(_) => print(&Reading::take(&socket)?, &before, &socket, output),
        };
    }
    let screen = Screen::enter(output.format == Format::Table);
    let mut due = Instant::now() + interval;
    loop {
        match signals.recv_timeout(due.saturating_duration_since(Instant::now())) {
            // The size has changed: what was read last is drawn again with the next reading.
            Ok(SIGWINCH) => continue,
            Ok(_) | Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        due = Instant::now() + interval;
        let now = Reading::take(&socket)?;
        match &screen {
            Some(screen) => screen.draw(&frame::lines(&figures::Figures::of(&now, &before), &socket, Some(size())))?,
            None => {
                print(&now, &before, &socket, output)?;
                output.flush()?;
            }
        }
        before = now;
    }
}

fn print(now: &Reading, before: &Reading, socket: &Path, output: &mut Output) -> Result<(), Failure> {
    let figures = figures::Figures::of(now, before);
    match output.format {
        Format::Json | Format::Jsonl => output.document(&figures.document(socket)),
        Format::Table | Format::Raw | Format::Hex => {
            frame::lines(&figures, socket, None).iter().try_for_each(|line| output.line(line))
        }
    }
}

/// The signals that end it, and those that say that the terminal has another size.
fn watched() -> Result<mpsc::Receiver<i32>, Failure> {
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGWINCH]);
    let mut signals = signals.map_err(|error| Failure::file("watch for", "signals", &error))?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if tell.send(signal).is_err() {
                break;
            }
        }
    });
    Ok(told)
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    told.map_or(SIZE, |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// The terminal while it is drawn on; given back when this is dropped.
struct Screen;

impl Screen {
    /// None when stdout is no terminal, or data is wanted.
    fn enter(wanted: bool) -> Option<Self> {
        let mut stdout = std::io::stdout();
        (wanted && stdout.is_terminal() && stdout.write_all(ENTER).and_then(|()| stdout.flush()).is_ok())
            .then_some(Self)
    }

    fn draw(&self, lines: &[String]) -> Result<(), Failure> {
        // One write, so nothing flickers. A line is cleared before it is written: behind a letter in the last column the cursor still
        // stands on it, and clearing from there would take it away.
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            text.push_str(if at > 0 { "\r\n" } else { "" });
            // With the last one all that is left below it.
            text.push_str(if at + 1 == lines.len() { "\x1b[J" } else { "\x1b[K" });
            text.push_str(line);
        }
        let mut stdout = std::io::stdout();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::file("write", "stdout", &error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut stdout = std::io::stdout();
        // A terminal that has gone needs nothing back.
        let _ = stdout.write_all(LEAVE).and_then(|()| stdout.flush());
    }
}

/// The server's socket as a file.
fn unreached(socket: &Path, error: &std::io::Error) -> Failure {
    lostore::OpenError::NoServer { path: PathBuf::from(socket), why: error.to_string() }.into()
}

#[cfg(test)]
mod tests;
