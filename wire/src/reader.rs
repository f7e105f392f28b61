//! From a stream of bytes, cut anywhere, to frames.
//!
//! Contract: bytes are pushed as they come; [`FrameReader::frame`] shows the first whole frame, [`FrameReader::advance`] drops it.
//! A header that announces more than the limit is refused before anything is allocated for it; the buffer grows with the
//! bytes that have really come, and never past the frame that was announced and one push. After an error the stream is lost.

use crate::error::FrameError;
use crate::header::{Header, MARK};
use crate::limits::{BUFFER_BYTES_KEPT, HEADER_BYTES};

/// A whole frame, inside its reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its body: a postcard message, by the header's kind.
    pub body: &'a [u8],
    /// Large values, one behind the other.
    pub tail: &'a [u8],
}

/// Cuts a stream into frames.
///
/// ```
/// let mut writer = wire::FrameWriter::new(wire::limits::REQUEST_FRAME_BYTES_MAX);
/// writer.request(7, 0, wire::Op::Ping)?;
/// let mut reader = wire::FrameReader::new(wire::limits::REQUEST_FRAME_BYTES_MAX);
/// for byte in writer.bytes() {
///     assert!(reader.frame()?.is_none());
///     reader.push(&[*byte]);
/// }
/// assert_eq!(reader.frame()?.expect("all of it has come").op(), Ok(wire::Op::Ping));
/// reader.advance();
/// assert!(reader.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have been dropped.
    start: usize,
    frame_bytes_max: u32,
}

impl FrameReader {
    /// A reader of frames with at most so many bytes of body and tail.
    #[must_use]
    pub fn new(frame_bytes_max: u32) -> Self {
        Self { buffer: Vec::new(), start: 0, frame_bytes_max }
    }

    /// Changes the limit, for frames whose header has not been looked at.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: u32) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            // Doubling, but not past what the first frame needs: its bytes have to come before room for them is taken.
            let target = (self.buffer.capacity() * 2).min(self.announced()).max(needed);
            self.buffer.reserve_exact(target - self.buffer.len());
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that the first frame will have, as far as its header has come and is one.
    fn announced(&self) -> usize {
        let header = self.header().ok().flatten();
        header.map_or(0, |header| HEADER_BYTES + header.body_bytes as usize + header.tail_bytes as usize)
    }

    /// Bytes that have come and were not dropped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether no byte waits: the stream may end here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory taken.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back the memory that is kept for frames to come, when nothing waits.
    pub fn rest(&mut self) {
        if self.is_empty() {
            (self.buffer, self.start) = (Vec::new(), 0);
        }
    }

    /// Drops the first frame, of which not all may have come; says how many of its bytes are still to come and are not to be pushed.
    ///
    /// # Panics
    /// When its header has not come.
    pub fn abandon(&mut self) -> u64 {
        let header = self.header().ok().flatten().expect("only a frame that was announced is abandoned");
        let bytes = HEADER_BYTES as u64 + header.content_bytes();
        let here = usize::try_from(bytes).map_or(self.len(), |bytes| bytes.min(self.len()));
        self.skip(here);
        bytes - here as u64
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        assert!(self.start <= self.buffer.len(), "a frame ends where its bytes end");
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        }
    }

    /// The header of the first frame, as soon as it has come.
    ///
    /// # Errors
    /// When the stream is lost.
    pub fn header(&self) -> Result<Option<Header>, FrameError> {
        let bytes = &self.buffer[self.start..];
        match bytes.first() {
            None => return Ok(None),
            Some(&MARK) => {}
            Some(&found) => return Err(FrameError::Mark { found }),
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(header).expect("the mark has been checked");
        if header.content_bytes() > u64::from(self.frame_bytes_max) {
            let (id, bytes) = (header.id, header.content_bytes());
            return Err(FrameError::TooLarge { id, bytes, limit: self.frame_bytes_max });
        }
        Ok(Some(header))
    }

    /// The first frame, when all of it has come.
    ///
    /// # Errors
    /// When the stream is lost.
    pub fn frame(&self) -> Result<Option<Frame<'_>>, FrameError> {
        let Some(header) = self.header()? else { return Ok(None) };
        let content = &self.buffer[self.start + HEADER_BYTES..];
        Ok(content.split_at_checked(header.body_bytes as usize).and_then(|(body, behind)| {
            let tail = behind.get(..header.tail_bytes as usize)?;
            Some(Frame { header, body, tail })
        }))
    }

    /// Drops the first frame.
    ///
    /// # Panics
    /// When there is none.
    pub fn advance(&mut self) {
        let frame =
            self.frame().expect("only a frame that was seen is dropped").expect("only a whole frame is dropped");
        let bytes = HEADER_BYTES + frame.body.len() + frame.tail.len();
        self.skip(bytes);
    }
}
