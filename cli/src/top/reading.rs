//! One reading of a server's metrics: asked for over HTTP on its socket, and taken apart.
//!
//! Contract: what does not look like the text format of Prometheus is passed over; a family that an older server does not tell reads
//! as zero.

use super::unreached;
use crate::failure::{Exit, Failure};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest that a server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read of an answer: figures of a hundred thousand tables.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A sample's labels, in order.
pub(super) type Labels = Vec<(String, String)>;

/// The samples of one moment.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    samples: BTreeMap<String, Vec<(Labels, f64)>>,
}

impl Reading {
    /// Asks a server.
    pub(super) fn take(socket: &Path) -> Result<Self, Failure> {
        let mut stream = UnixStream::connect(socket).map_err(|error| unreached(socket, &error))?;
        let mut answer = Vec::new();
        let asked = stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .and_then(|()| (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer));
        asked.map_err(|error| unreached(socket, &error))?;
        let text = String::from_utf8_lossy(&answer);
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(Self::read(body, Instant::now())),
            Some(_) | None => Err(Failure {
                exit: Exit::Unreachable,
                code: None,
                what: format!(
                    "{} does not tell metrics: {}",
                    socket.display(),
                    text.lines().next().unwrap_or("nothing")
                ),
                help: "name the socket of a `lostore serve` of this release".to_owned(),
            }),
        }
    }

    /// Takes the text apart.
    pub(super) fn read(text: &str, at: Instant) -> Self {
        let mut samples: BTreeMap<String, Vec<(Labels, f64)>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                samples.entry(name.to_owned()).or_default().push((labels, value));
            }
        }
        Self { at, samples }
    }

    /// The samples of a family.
    pub(super) fn family(&self, name: &str) -> &[(Labels, f64)] {
        self.samples.get(name).map_or(&[], |samples| samples)
    }

    /// The sample of a family with these labels; zero when there is none.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is = |(have, _): &&(Labels, f64)| {
            have.len() == labels.len() && have.iter().zip(labels).all(|((n, v), (name, value))| n == name && v == value)
        };
        self.family(name).iter().find(is).map_or(0.0, |(_, value)| *value)
    }

    /// A label of the first sample of a family.
    pub(super) fn label(&self, name: &str, label: &str) -> &str {
        let labels = self.family(name).first().map_or(&[][..], |(labels, _)| labels);
        labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value)
    }
}

fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    Some((name, labels, rest.trim().parse().ok()?))
}

/// Labels up to the closing brace, and what stands behind it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
        let (mut value, mut letters) = (String::new(), quoted.char_indices());
        rest = loop {
            match letters.next()? {
                (at, '"') => break &quoted[at + 1..],
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        };
        labels.push((name.to_owned(), value));
    }
}
