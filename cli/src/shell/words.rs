//! Statements as text: when one is whole, and which words it has.
//!
//! Contract: words are what a command line would give the parser. A quote counts where a word, or a key behind its `/`, begins;
//! brackets count there too, up to their ends, with everything in them kept as it is: that is JSON. Anywhere else a letter is a letter,
//! so `users/o'brien` is a word.

use crate::failure::Failure;

/// What a reader of letters is inside of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inside {
    Nothing,
    Word,
    Single,
    Double,
    Json { depth: u32, quoted: bool },
}

/// Reads letters; gives the words, and whether the last is whole.
struct Reader {
    words: Vec<String>,
    inside: Inside,
    escaped: bool,
    /// The next letter begins a key: it stands behind the first `/` of its word.
    key: bool,
}

impl Reader {
    fn read(text: &str) -> Self {
        let mut reader = Self { words: Vec::new(), inside: Inside::Nothing, escaped: false, key: false };
        text.chars().for_each(|letter| reader.take(letter));
        reader
    }

    fn word(&mut self) -> &mut String {
        self.words.last_mut().expect("a word has begun")
    }

    fn take(&mut self, letter: char) {
        let escaped = std::mem::take(&mut self.escaped);
        match self.inside {
            Inside::Nothing if letter.is_whitespace() => {}
            Inside::Nothing => {
                self.words.push(String::new());
                self.begin(letter);
            }
            Inside::Word if letter.is_whitespace() => self.inside = Inside::Nothing,
            Inside::Word if self.key => self.begin(letter),
            Inside::Word => {
                let first = letter == '/' && !self.word().contains('/');
                self.word().push(letter);
                self.key = first;
            }
            Inside::Single if letter == '\'' => self.inside = Inside::Word,
            Inside::Single => self.word().push(letter),
            Inside::Double => self.double(letter, escaped),
            Inside::Json { depth, quoted } => self.json(letter, depth, quoted, escaped),
        }
    }

    /// A letter that begins a word or a key.
    fn begin(&mut self, letter: char) {
        self.key = false;
        self.inside = match letter {
            '\'' => Inside::Single,
            '"' => Inside::Double,
            '{' | '[' => Inside::Json { depth: 1, quoted: false },
            _ => Inside::Word,
        };
        if matches!(self.inside, Inside::Word | Inside::Json { .. }) {
            self.word().push(letter);
            self.key = letter == '/';
        }
    }

    fn double(&mut self, letter: char, escaped: bool) {
        match letter {
            _ if escaped => {
                let letter = match letter {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                };
                self.word().push(letter);
            }
            '\\' => self.escaped = true,
            '"' => self.inside = Inside::Word,
            _ => self.word().push(letter),
        }
    }

    fn json(&mut self, letter: char, depth: u32, quoted: bool, escaped: bool) {
        self.word().push(letter);
        self.escaped = quoted && !escaped && letter == '\\';
        let quoted = quoted != (letter == '"' && !escaped);
        let depth = match letter {
            '{' | '[' if !quoted => depth + 1,
            '}' | ']' if !quoted => depth - 1,
            _ => depth,
        };
        self.inside = if depth == 0 { Inside::Word } else { Inside::Json { depth, quoted } };
    }

    fn is_open(&self) -> bool {
        matches!(self.inside, Inside::Single | Inside::Double | Inside::Json { .. })
    }
}

/// Whether a statement ends with this text: nothing is open, and no backslash stands at its end.
pub(super) fn is_whole(text: &str) -> bool {
    !text.ends_with('\\') && (is_comment(text) || !Reader::read(&joined(text)).is_open())
}

fn is_comment(text: &str) -> bool {
    text.trim_start().starts_with('#')
}

/// A statement of several lines as one: what ends its lines is spaces, as many as it was letters.
pub(super) fn joined(text: &str) -> String {
    text.replace("\\\n", "  ").replace('\n', " ")
}

/// The words of a statement.
pub(super) fn split(text: &str) -> Result<Vec<String>, Failure> {
    let reader = Reader::read(text);
    if reader.is_open() {
        return Err(Failure::usage("a bracket or a quote is open", "close it, or write the word in 'single quotes'"));
    }
    Ok(reader.words)
}

/// The words of a statement that is being written, the last of which the reader is in: empty when it has not begun.
pub(super) fn begun(text: &str) -> Vec<String> {
    let mut reader = Reader::read(text);
    if reader.inside == Inside::Nothing {
        reader.words.push(String::new());
    }
    reader.words
}
