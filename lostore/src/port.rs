//! What a shard's thread waits at: a device, the sockets that share its ring, and a bell that other threads may ring.
//!
//! Contract: as [`Device`], and: `sleep` returns at the latest when the time given is over, something has completed, or the
//! bell has been rung since the last `sleep` began; a ring is never lost. It may return early.
//!
//! [`DevicePort`] makes one of any device that is never long in completing (memory); [`RingPort`] is the kernel's ring.

use domains::ring_device::{OwnCompletion, RingDevice};
use segments::{Completion, Device, Page, PageNo, Request, Tag};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;
use uring::{DirectoryLock, Doorbell, Op, OpId};

/// Rings the one thread that waits at a port. Cheap to clone; may be rung from anywhere.
#[derive(Clone)]
pub struct Bell(Arc<dyn Fn() + Send + Sync>);

impl Bell {
    /// A bell that does this when it is rung.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(ring))
    }

    /// A bell that unparks a thread.
    #[must_use]
    pub fn of_thread(thread: Thread) -> Self {
        Self::new(move || thread.unpark())
    }

    /// Rings it.
    pub fn ring(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

/// A device whose thread can also be woken, and whose ring may carry sockets.
pub trait Port: Device {
    /// A completion that is not the device's: of a socket operation.
    type Io: fmt::Debug;

    /// The bell of this port, made on the thread that will sleep here.
    fn bell(&self) -> Bell;

    /// Appends the completions of socket operations that are ready. It never waits.
    fn poll_io(&mut self, done: &mut Vec<Self::Io>);

    /// Sleeps until something completes, the bell rings, or so many nanoseconds are over (`None`: without end).
    fn sleep(&mut self, nanos_max: Option<u64>);
}

/// A port without sockets, on a device that completes soon.
#[derive(Debug)]
pub struct DevicePort<V: Device> {
    device: V,
    /// What came while sleeping.
    done: Vec<Completion>,
    thread: Thread,
}

impl<V: Device> DevicePort<V> {
    /// A port for the calling thread.
    pub fn new(device: V) -> Self {
        Self { device, done: Vec::new(), thread: std::thread::current() }
    }
}

impl<V: Device> Device for DevicePort<V> {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        self.device.next_data(at)
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        self.device.submit(tag, request);
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        done.append(&mut self.done);
        self.device.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        if self.done.is_empty() {
            self.device.wait(done);
        }
        self.poll(done);
    }

    fn in_flight(&self) -> usize {
        self.device.in_flight() + self.done.len()
    }
}

impl<V: Device> Port for DevicePort<V> {
    type Io = Infallible;

    fn bell(&self) -> Bell {
        Bell::of_thread(self.thread.clone())
    }

    fn poll_io(&mut self, _done: &mut Vec<Infallible>) {}

    fn sleep(&mut self, nanos_max: Option<u64>) {
        assert_eq!(std::thread::current().id(), self.thread.id(), "a port belongs to the thread that made it");
        if self.device.in_flight() > 0 {
            self.device.wait(&mut self.done);
            return;
        }
        if !self.done.is_empty() {
            return;
        }
        match nanos_max {
            Some(nanos) => std::thread::park_timeout(Duration::from_nanos(nanos)),
            None => std::thread::park(),
        }
    }
}

/// A port whose device and sockets share one ring; its bell is an eventfd that the ring watches.
#[derive(Debug)]
pub struct RingPort {
    device: RingDevice,
    doorbell: Doorbell,
    disk: Vec<Completion>,
    own: Vec<OwnCompletion>,
    /// Given back after the device is gone: fields are dropped in this order.
    _lock: Option<DirectoryLock>,
}

/// The number of the ring's watch of the doorbell. A front's own numbers must be below.
pub const WATCH: u64 = (1 << 63) - 1;

impl RingPort {
    /// A port on the device's ring, for the thread that made the ring, with the lock that is to outlive the device.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(mut device: RingDevice, lock: Option<DirectoryLock>) -> Result<Self, uring::Error> {
        let doorbell = Doorbell::new()?;
        device.submit_own(Op::Watch { doorbell: doorbell.clone() }, WATCH);
        Ok(Self { device, doorbell, disk: Vec::new(), own: Vec::new(), _lock: lock })
    }

    /// Starts a socket operation; its completion comes to the front.
    ///
    /// # Panics
    /// When the number is not below [`WATCH`].
    pub fn submit_io(&mut self, op: Op<Page>, user: u64) -> OpId {
        assert!(user < WATCH, "number {user:#x} is not the front's to give");
        self.device.submit_own(op, user)
    }

    /// Keeps the bell's completions for itself and rearms the watch.
    fn hear(&mut self) {
        let before = self.own.len();
        self.own.retain(|completion| completion.user != WATCH);
        if self.own.len() < before {
            self.device.submit_own(Op::Watch { doorbell: self.doorbell.clone() }, WATCH);
        }
    }
}

impl Device for RingPort {
    fn pages(&self) -> u64 {
        self.device.pages()
    }

    fn next_data(&self, at: PageNo) -> PageNo {
        self.device.next_data(at)
    }

    fn submit(&mut self, tag: Tag, request: Request) {
        self.device.submit(tag, request);
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        self.device.poll_all(&mut self.disk, &mut self.own);
        self.hear();
        done.append(&mut self.disk);
    }

    fn wait(&mut self, done: &mut Vec<Completion>) {
        if self.disk.is_empty() {
            self.device.wait(&mut self.disk);
        }
        self.poll(done);
    }

    fn in_flight(&self) -> usize {
        self.device.in_flight() + self.disk.len()
    }
}

impl Port for RingPort {
    type Io = OwnCompletion;

    fn bell(&self) -> Bell {
        let bell = self.doorbell.bell();
        Bell::new(move || bell.ring())
    }

    fn poll_io(&mut self, done: &mut Vec<OwnCompletion>) {
        self.device.poll_all(&mut self.disk, &mut self.own);
        self.hear();
        done.append(&mut self.own);
    }

    fn sleep(&mut self, nanos_max: Option<u64>) {
        if !self.disk.is_empty() || !self.own.is_empty() {
            return;
        }
        self.device.wait_all(nanos_max.map(Duration::from_nanos), &mut self.disk, &mut self.own);
        self.hear();
    }
}

#[cfg(test)]
mod tests;
