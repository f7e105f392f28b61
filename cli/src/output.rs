//! Where data goes: stdout, in the form that was asked for.
//!
//! Contract: nothing but data passes here. A table is for people and may change; json, jsonl, raw and hex are for programs and
//! keep their shape. json is one document, jsonl one document a line.

use crate::failure::Failure;
use clap::ValueEnum;
use serde_json::Value;
use std::io::{BufWriter, IsTerminal, Write};

/// The forms of data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people: aligned columns, values as they can be typed.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// Bytes as they are.
    Raw,
    /// Bytes as hex:.. words.
    Hex,
}

/// Data on its way out.
pub(crate) struct Output {
    /// The form asked for.
    pub(crate) format: Format,
    to: Box<dyn Write>,
    /// Documents written of a JSON list that is open.
    listed: Option<u64>,
}

impl Output {
    /// To stdout: a line at a time for a person, in large pieces for a program.
    pub(crate) fn stdout(format: Format) -> Self {
        let stdout = std::io::stdout();
        let to: Box<dyn Write> =
            if stdout.is_terminal() { Box::new(stdout) } else { Box::new(BufWriter::with_capacity(64 << 10, stdout)) };
        Self { format, to, listed: None }
    }

    /// Into memory, for tests.
    #[cfg(test)]
    pub(crate) fn to(format: Format, to: Box<dyn Write>) -> Self {
        Self { format, to, listed: None }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(|error| Failure::file("write", "stdout", &error))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Makes sure that everything has gone.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(|error| Failure::file("write", "stdout", &error))
    }

    /// Writes a single document.
    pub(crate) fn document(&mut self, value: &Value) -> Result<(), Failure> {
        if self.format == Format::Jsonl {
            return self.line(&value.to_string());
        }
        let text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
        self.line(&text)
    }

    /// Begins a list of documents: in one JSON array, or each on a line.
    pub(crate) fn begin_list(&mut self) -> Result<(), Failure> {
        assert!(self.listed.is_none(), "one list at a time");
        self.listed = Some(0);
        if self.format == Format::Json { self.bytes(b"[") } else { Ok(()) }
    }

    /// Writes one document of the list.
    pub(crate) fn item(&mut self, value: &Value) -> Result<(), Failure> {
        let written = self.listed.as_mut().expect("a list is open");
        let first = *written == 0;
        *written += 1;
        if self.format == Format::Jsonl {
            return self.line(&value.to_string());
        }
        self.bytes(if first { b"\n  " } else { b",\n  " })?;
        self.bytes(value.to_string().as_bytes())
    }

    /// Ends the list.
    pub(crate) fn end_list(&mut self) -> Result<(), Failure> {
        let written = self.listed.take().expect("a list is open");
        match (self.format, written) {
            (Format::Json, 0) => self.bytes(b"]\n"),
            (Format::Json, _) => self.bytes(b"\n]\n"),
            _ => Ok(()),
        }
    }

    /// Writes rows under headings, each column as wide as its widest cell; numbers to the right.
    pub(crate) fn rows(&mut self, headings: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
        for row in std::iter::once(&headings).chain(rows) {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let pad = widths[at] - cell.chars().count();
                let number = cell.starts_with(|first: char| first.is_ascii_digit());
                let (before, after) = if number { (pad, 0) } else { (0, pad) };
                line.extend(std::iter::repeat_n(' ', before));
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', after + 2));
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A number of bytes for people.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < units.len() && bytes / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    let tenths = u128::from(bytes) * 10 / u128::from(scale);
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

/// A count for people, in groups of three digits.
pub(crate) fn count_text(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
