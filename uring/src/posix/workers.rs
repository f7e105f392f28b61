//! The threads that do file operations for the POSIX backend.
//!
//! Invariants: a task is in one of three places: the list to do, a thread's hands, the list of finished ones; the doorbell is
//! rung after a task is put on the last, so who hears it finds it. Dropping joins the threads after the task in hand; tasks not
//! begun are dropped with their buffers, which nobody else has.

use crate::doorbell::{Bell, Doorbell};
use crate::error::Error;
use crate::file::{File, PUNCH};
use crate::io::Memory;
use crate::limits::FILE_THREADS;
use crate::slots::Ticket;
use crate::verdict::Kind;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use zerocopy::IntoBytes;

/// An operation on a file.
pub(super) enum FileWork<P> {
    Read { file: File, offset: u64, buffer: Box<[P]> },
    Write { file: File, offset: u64, buffer: Box<[P]> },
    Sync { file: File },
    Punch { file: File, offset: u64, bytes: u64 },
}

/// An operation and the ticket it answers to.
pub(super) struct Task<P> {
    pub(super) ticket: Ticket,
    pub(super) work: FileWork<P>,
}

struct Backlog<P> {
    tasks: VecDeque<Task<P>>,
    closing: bool,
}

struct Shared<P> {
    backlog: Mutex<Backlog<P>>,
    more: Condvar,
    finished: Mutex<Vec<(Task<P>, i32)>>,
}

/// The threads and their lists.
pub(super) struct Workers<P: Memory> {
    shared: Arc<Shared<P>>,
    doorbell: Doorbell,
    threads: Vec<JoinHandle<()>>,
}

const HELD: &str = "no thread panics while it holds a list";

impl<P: Memory> Workers<P> {
    pub(super) fn start() -> Result<Self, Error> {
        let backlog = Mutex::new(Backlog { tasks: VecDeque::new(), closing: false });
        let shared = Arc::new(Shared { backlog, more: Condvar::new(), finished: Mutex::new(Vec::new()) });
        let mut workers = Self { shared, doorbell: Doorbell::new()?, threads: Vec::new() };
        for index in 0..FILE_THREADS {
            let (shared, bell) = (Arc::clone(&workers.shared), workers.doorbell.bell());
            let thread = std::thread::Builder::new().name(format!("file-{index}")).spawn(move || work(&shared, &bell));
            let thread = thread.map_err(|error| {
                Error::os("start", Path::new("a thread"), Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
            })?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    pub(super) fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// Silences the doorbell, before the finished are taken.
    pub(super) fn hear(&self) {
        // Whether it rang does not matter: the list tells.
        let _ = self.doorbell.hear();
    }

    pub(super) fn give(&self, task: Task<P>) {
        self.shared.backlog.lock().expect(HELD).tasks.push_back(task);
        self.shared.more.notify_one();
    }

    pub(super) fn take_finished(&self) -> Vec<(Task<P>, i32)> {
        core::mem::take(&mut *self.shared.finished.lock().expect(HELD))
    }

    /// Takes a task back that no thread has begun.
    pub(super) fn take_back(&self, ticket: Ticket) -> Option<Task<P>> {
        let mut backlog = self.shared.backlog.lock().expect(HELD);
        let index = backlog.tasks.iter().position(|task| task.ticket == ticket)?;
        backlog.tasks.remove(index)
    }
}

impl<P: Memory> Drop for Workers<P> {
    fn drop(&mut self) {
        {
            let mut backlog = self.shared.backlog.lock().expect(HELD);
            backlog.closing = true;
            backlog.tasks.clear();
        }
        self.shared.more.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().expect("a file thread does not panic");
        }
    }
}

/// A thread's life.
fn work<P: Memory>(shared: &Shared<P>, bell: &Bell) {
    while let Some(mut task) = next(shared) {
        let result = task.work.perform();
        shared.finished.lock().expect(HELD).push((task, result));
        bell.ring();
    }
}

fn next<P>(shared: &Shared<P>) -> Option<Task<P>> {
    let mut backlog = shared.backlog.lock().expect(HELD);
    loop {
        if backlog.closing {
            return None;
        }
        if let Some(task) = backlog.tasks.pop_front() {
            return Some(task);
        }
        backlog = shared.more.wait(backlog).expect(HELD);
    }
}

impl<P: Memory> FileWork<P> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Read,
            Self::Write { .. } => Kind::Write,
            Self::Sync { .. } => Kind::Sync,
            Self::Punch { .. } => Kind::Punch,
        }
    }

    pub(super) fn asked(&self) -> usize {
        match self {
            Self::Read { buffer, .. } | Self::Write { buffer, .. } => buffer.as_bytes().len(),
            Self::Sync { .. } | Self::Punch { .. } => 0,
        }
    }

    pub(super) fn into_buffer(self) -> Option<Box<[P]>> {
        match self {
            Self::Read { buffer, .. } | Self::Write { buffer, .. } => Some(buffer),
            Self::Sync { .. } | Self::Punch { .. } => None,
        }
    }

    /// Does it, and answers as a ring would: a count, or an error number below zero.
    fn perform(&mut self) -> i32 {
        let result = match self {
            Self::Read { file, offset, buffer } => rustix::io::pread(file, buffer.as_mut_bytes(), *offset),
            Self::Write { file, offset, buffer } => rustix::io::pwrite(file, buffer.as_bytes(), *offset),
            Self::Sync { file } => rustix::fs::fdatasync(file).map(|()| 0),
            Self::Punch { file, offset, bytes } => rustix::fs::fallocate(file, PUNCH, *offset, *bytes).map(|()| 0),
        };
        match result {
            Ok(count) => i32::try_from(count).expect("a transfer is below 1 GiB"),
            Err(errno) => -errno.raw_os_error(),
        }
    }
}
