//! Who may do what: the rules of a server, as an operator writes them.
//!
//! Contract: a rule gives rights on the tables whose name its pattern matches to a user, to the members of a group, or to everybody.
//! Rights add up and nothing takes one away, so the order of the rules means nothing. User 65534, as which all users appear that
//! a user namespace does not map, is given only what a rule gives to it by number. A text that is wrong anywhere is no rules at
//! all, and says of every line what is wrong with it.
//!
//! It knows no tables and no connections: `gate` holds these against the rules. `design/security.md` has the format and its meaning.

use crate::resp::glob;
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error as ThisError;

/// The user that stands for all users without a number here.
pub const UID_UNMAPPED: u32 = 65534;
/// Bytes of a file of rules: 10,000 rules of 100 bytes.
pub const RULES_BYTES_MAX: usize = 1 << 20;
/// Rules of a file. Each operation on a table by name looks at all of them that speak of its user.
pub const RULES_MAX: usize = 10_000;
/// Bytes of a pattern: a table's name has at most 255.
const PATTERN_BYTES_MAX: usize = 512;
/// Findings that are told of one file.
const FINDINGS_MAX: usize = 20;

/// Something that a caller may be permitted to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Right {
    /// Read records of a table: by key, through a pointer that leads there, by a compare.
    Read,
    /// Put pairs that are not there.
    Insert,
    /// Change pairs that are there.
    Update,
    /// Delete pairs.
    Delete,
    /// Walk through a table's pairs; their records want `read` too.
    Iterate,
    /// Make a table of this name, give it this name, or append fields to it.
    Create,
    /// Destroy a table of this name, or take the name from it.
    Destroy,
    /// Open transactions that live on the server between requests. Of the server: the pattern does not matter.
    Txn,
    /// Ask that everything become persistent at once. Of the server.
    Force,
    /// See figures of the whole server, and drop its cache. Of the server.
    Admin,
}

impl Right {
    /// All of them, in the order of their bits.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Iterate,
        Self::Create,
        Self::Destroy,
        Self::Txn,
        Self::Force,
        Self::Admin,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Iterate => "iterate",
            Self::Create => "create",
            Self::Destroy => "destroy",
            Self::Txn => "txn",
            Self::Force => "force",
            Self::Admin => "admin",
        }
    }

    /// Whether it is of the server rather than of a table.
    #[must_use]
    pub const fn is_of_server(self) -> bool {
        matches!(self, Self::Txn | Self::Force | Self::Admin)
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == word)
    }
}

/// A set of rights: a bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rights(u16);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// All there are.
    pub const ALL: Self = Self((1 << Right::ALL.len()) - 1);

    /// Whether this right is among them.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u16) != 0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// These and one more.
    #[must_use]
    pub const fn and(self, right: Right) -> Self {
        Self(self.0 | 1 << right as u16)
    }

    /// Those that are of the server.
    #[must_use]
    pub fn of_server(self) -> Self {
        self.only(Right::is_of_server)
    }

    /// Those that are of a table.
    #[must_use]
    pub fn of_table(self) -> Self {
        self.only(|right| !right.is_of_server())
    }

    fn only(self, wanted: impl Fn(Right) -> bool) -> Self {
        let kept = Right::ALL.into_iter().filter(|right| self.has(*right) && wanted(*right));
        kept.fold(Self::NONE, Self::and)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Right::ALL.into_iter().filter(|right| self.has(*right)).map(Right::name).collect();
        f.write_str(&if names.is_empty() { "none".to_owned() } else { names.join(",") })
    }
}

/// Who is on the other side of a connection: as the kernel said when it connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The further groups.
    pub groups: Vec<u32>,
}

/// Whom a rule is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// One user.
    User(u32),
    /// Those that have this group, as their own or among the further ones.
    Group(u32),
    /// Everybody.
    All,
}

impl Who {
    /// Whether the rule is for this caller.
    #[must_use]
    pub fn is(self, caller: &Caller) -> bool {
        match self {
            Self::User(uid) => caller.uid == uid,
            // Nobody knows who these are, so they are given nothing but by their number.
            _ if caller.uid == UID_UNMAPPED => false,
            Self::Group(gid) => caller.gid == gid || caller.groups.contains(&gid),
            Self::All => true,
        }
    }
}

/// One line of the rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Whom it is for.
    pub who: Who,
    /// The names of the tables that it is about.
    pub pattern: String,
    /// What it gives.
    pub rights: Rights,
    /// Its line, from 1.
    pub line: usize,
}

impl Rule {
    /// Whether it is about tables of this name.
    #[must_use]
    pub fn matches(&self, table: &str) -> bool {
        glob::matches(self.pattern.as_bytes(), table.as_bytes())
    }
}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[error("line {line}: {what}")]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// What, and what to write instead.
    pub what: String,
}

/// Why a file gives no rules.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
pub enum RulesError {
    /// It cannot be read.
    #[error("the rules in {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Lines of it are wrong.
    #[error("the rules in {} are wrong: {}", path.display(), findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The first of them.
        findings: Vec<Finding>,
    },
}

/// The rules of a server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Reads a file of rules.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file, is too long, or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, RulesError> {
        let unreadable = |why: String| RulesError::Unreadable { path: path.to_owned(), why };
        let found = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if !found.is_file() {
            return Err(unreadable("it is no regular file; name one".to_owned()));
        }
        if found.len() > RULES_BYTES_MAX as u64 {
            let why = format!("it has {} bytes, and rules have at most {RULES_BYTES_MAX}; use patterns", found.len());
            return Err(unreadable(why));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        Self::parse(&text).map_err(|findings| RulesError::Wrong { path: path.to_owned(), findings })
    }

    /// Understands a text of rules.
    ///
    /// # Errors
    /// What is wrong, by line; at most the first twenty.
    pub fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let (mut rules, mut findings) = (Vec::new(), Vec::new());
        for (line, text) in (1..).zip(text.lines()) {
            let words: Vec<&str> = text.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            if words.is_empty() {
                continue;
            }
            match rule(line, &words) {
                Ok(rule) => rules.push(rule),
                Err(what) => findings.push(Finding { line, what }),
            }
            if rules.len() > RULES_MAX {
                let what = format!("there are more than {RULES_MAX} rules; use patterns and groups");
                findings.push(Finding { line, what });
            }
            if findings.len() == FINDINGS_MAX || rules.len() > RULES_MAX {
                break;
            }
        }
        if findings.is_empty() { Ok(Self { rules }) } else { Err(findings) }
    }

    /// All of them, in the order of their lines.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// Those for this caller.
    #[must_use]
    pub fn of(&self, caller: &Caller) -> Self {
        Self { rules: self.rules.iter().filter(|rule| rule.who.is(caller)).cloned().collect() }
    }

    /// What they give on a table of this name.
    #[must_use]
    pub fn on(&self, table: &str) -> Rights {
        let about = self.rules.iter().filter(|rule| rule.matches(table));
        about.fold(Rights::NONE, |rights, rule| rights.with(rule.rights.of_table()))
    }

    /// What they give of the server.
    #[must_use]
    pub fn of_server(&self) -> Rights {
        self.rules.iter().fold(Rights::NONE, |rights, rule| rights.with(rule.rights.of_server()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

const SHAPE: &str = "a rule is WHO TABLES RIGHTS, as in `uid:1000 logs.* read,iterate`";

fn rule(line: usize, words: &[&str]) -> Result<Rule, String> {
    let [name, pattern, rights] = words else {
        let count = words.len();
        return Err(format!("{SHAPE}; this line has {count} words (no spaces around commas, `?` for one in a name)"));
    };
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("the pattern has {} bytes; it has at most {PATTERN_BYTES_MAX}", pattern.len()));
    }
    let rights = rights.split(',').try_fold(Rights::NONE, |so_far, word| match (word, Right::parse(word)) {
        ("all", _) => Ok(Rights::ALL),
        (_, Some(right)) => Ok(so_far.and(right)),
        (_, None) => Err(unknown_right(word)),
    })?;
    Ok(Rule { who: who(name)?, pattern: (*pattern).to_owned(), rights, line })
}

fn unknown_right(word: &str) -> String {
    let all: Vec<&str> = Right::ALL.into_iter().map(Right::name).collect();
    format!("'{}' is no right; write some of {}, or `all`", shown(word), all.join(", "))
}

fn who(word: &str) -> Result<Who, String> {
    if word == "*" {
        return Ok(Who::All);
    }
    let (kind, number) = word.split_once(':').unwrap_or((word, ""));
    let make: fn(u32) -> Who = match kind {
        "uid" => Who::User,
        "gid" => Who::Group,
        _ => return Err(format!("'{}' is nobody; write uid:NUMBER, gid:NUMBER or *; {SHAPE}", shown(word))),
    };
    match number.parse() {
        // The system's own sign for no user at all.
        Ok(u32::MAX) | Err(_) => {
            let tool = if kind == "uid" { "id -u NAME" } else { "getent group NAME" };
            Err(format!("'{}' has no number; names are not looked up: `{tool}` tells the number", shown(word)))
        }
        Ok(number) => Ok(make(number)),
    }
}

/// A word of the file, fit to stand in a message.
fn shown(word: &str) -> String {
    word.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
