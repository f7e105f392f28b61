//! The command line as a process of its own: this very test binary, started again with a variable set, in which the test
//! [`be_the_command`] runs the line. So plain `cargo test` needs no other binary to be there.

use lostore::{AnyBackend, EpochId, Incarnation, Options, Store};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// Set in the process that is to be the command: its arguments, separated by [`BETWEEN`].
const ARGUMENTS: &str = "LOSTORE_TEST_ARGUMENTS";
/// Between two arguments: a character that none of them has.
const BETWEEN: &str = "\u{1f}";
/// What the test binary must be told to run nothing else.
const ONLY: [&str; 3] = ["--exact", "process::be_the_command", "--nocapture"];

/// Not a test of its own: the command of the others.
#[test]
fn be_the_command() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let code = cli::run(arguments.split(BETWEEN).map(Into::into));
    // An exit code does not tell its number, but it can be compared.
    std::process::exit((0..=u8::MAX).find(|number| code == ExitCode::from(*number)).unwrap().into());
}

/// A process that will run `lostore` with these arguments.
pub(crate) fn lostore(arguments: &[&str]) -> Command {
    by(&std::env::current_exe().unwrap(), arguments)
}

/// The same, by a copy of this binary.
pub(crate) fn by(binary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(ONLY);
    prepared(command, arguments)
}

/// The same, started by a shell behind these of its commands.
pub(crate) fn behind(shell: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} && exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap()).args(ONLY);
    prepared(command, arguments)
}

fn prepared(mut command: Command, arguments: &[&str]) -> Command {
    let line: Vec<&str> = std::iter::once("lostore").chain(arguments.iter().copied()).collect();
    command.env(ARGUMENTS, line.join(BETWEEN)).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Bytes of what a daemon said last that are printed when it has ended by itself.
const SAID_BYTES_MAX: u64 = 64 << 10;

/// A daemon, killed when it is dropped. What it says on stderr is kept, and printed when it ends and nobody wanted it to.
pub(crate) struct Daemon {
    child: Child,
    /// What it says on stderr.
    said: File,
    dir: PathBuf,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Daemon {
    /// Starts one with small segments.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::run(dir, lostore(&["serve", text(dir), "-o", "json", "--segment", "1M"]))
    }

    /// Starts the one of a command line that serves this directory and speaks JSON.
    pub(crate) fn run(dir: &Path, mut command: Command) -> Self {
        let said = tempfile::tempfile().unwrap();
        let mut child = command.stderr(said.try_clone().unwrap()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // The test harness says its own things first.
        let ready = stdout.lines().map_while(Result::ok).find_map(|line| {
            let document = &line[line.find('{')?..];
            serde_json::from_str(document).ok()
        });
        let mut daemon = Self { child, said, dir: dir.to_owned(), ready: ready.unwrap_or_default() };
        if daemon.ready.is_null() {
            let status = daemon.child.wait().unwrap();
            panic!("the daemon was never ready: {status}\n{}", daemon.said());
        }
        daemon
    }

    /// What it has said on stderr, the end of it.
    fn said(&mut self) -> String {
        let mut text = Vec::new();
        let bytes = self.said.seek(SeekFrom::End(0)).unwrap();
        self.said.seek(SeekFrom::Start(bytes.saturating_sub(SAID_BYTES_MAX))).unwrap();
        self.said.read_to_end(&mut text).unwrap();
        format!("it has said:\n{}", String::from_utf8_lossy(&text))
    }

    /// Says how it has ended, if it has.
    fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().unwrap()?;
        Some(format!("the daemon {} has ended by itself: {status}\n{}", self.child.id(), self.said()))
    }

    pub(crate) fn connect(&self) -> Store<AnyBackend> {
        let remote = Options::default().connect(&self.socket()).unwrap();
        Store::new(AnyBackend::Remote(remote))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join(lostore::open::SOCKET_FILE)
    }

    /// The cut that its recovery found.
    pub(crate) fn cut(&self) -> EpochId {
        let (incarnation, counter) = self.ready["recovery"]["cut"].as_str().unwrap().split_once('.').unwrap();
        EpochId::new(Incarnation(incarnation.parse().unwrap()), counter.parse().unwrap())
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub(crate) fn kill(mut self) {
        if let Some(ended) = self.ended() {
            panic!("{ended}");
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and checks that it does so well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "it stops cleanly, and not with {status}; {}", self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = self.ended();
            println!("{}", ended.unwrap_or_else(|| format!("the daemon {} goes on; {}", self.child.id(), self.said())));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
