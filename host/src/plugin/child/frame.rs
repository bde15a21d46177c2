//! Frames between host and child: `[length: u32 LE][kind: u8][bytes]`. Each kind has a limit, and nothing that the
//! other side writes makes more memory than that.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use ai_monitor_plugin_api::limits::{EFFECT_MAX, ERROR_MAX, MANIFEST_MAX};

const HEADER: usize = 5;
/// An event: the largest body that a request may take (4 MiB), were each byte of it escaped, and room beside it.
const EVENT_MAX: usize = 28 * 1024 * 1024;
/// A reason of [`ERROR_MAX`] bytes in JSON, were each byte of it escaped.
const REFUSED_MAX: usize = 32 * 1024;
/// Read at once where a frame may be that long: most are whole then.
const CHUNK: usize = 8 * 1024;
/// Read at once in the child at most, in bytes: all that a pipe holds.
const PIPE: usize = 64 * 1024;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// To the child: open the library. Answered by `Started` at once, then by `Loaded` and `Manifest`, or `Refused`.
    Open = 1,
    /// To the child: make a session. Answered by `Created` or `NotCreated`.
    Create = 2,
    /// To the child, with an event: one step. Answered by `Stepped`.
    Step = 3,
    /// To the child: destroy the session. Answered by `Destroyed`.
    Destroy = 4,
    /// The child runs, and opens the library next.
    Started = 16,
    /// With text: what this system cannot keep from a plugin.
    Unfenced = 17,
    /// The library is open; its manifest is read next.
    Loaded = 18,
    /// With the manifest's bytes.
    Manifest = 19,
    /// With [`super::refused::Refused`] as JSON: there is no plugin.
    Refused = 20,
    Created = 21,
    /// With the plugin's text.
    NotCreated = 22,
    /// With a byte of [`Stepped`], and what was written.
    Stepped = 23,
    Destroyed = 24,
    /// With [`super::last_words::LastWords`]: the child dies now.
    LastWords = 25,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Open,
            2 => Kind::Create,
            3 => Kind::Step,
            4 => Kind::Destroy,
            16 => Kind::Started,
            17 => Kind::Unfenced,
            18 => Kind::Loaded,
            19 => Kind::Manifest,
            20 => Kind::Refused,
            21 => Kind::Created,
            22 => Kind::NotCreated,
            23 => Kind::Stepped,
            24 => Kind::Destroyed,
            25 => Kind::LastWords,
            _ => return None,
        })
    }

    /// The most bytes that follow the header.
    fn limit(self) -> usize {
        match self {
            Kind::Open | Kind::Create | Kind::Destroy => 0,
            Kind::Started | Kind::Loaded | Kind::Created | Kind::Destroyed => 0,
            Kind::Step => EVENT_MAX,
            Kind::Manifest => MANIFEST_MAX,
            Kind::Stepped => 1 + EFFECT_MAX,
            Kind::Unfenced | Kind::NotCreated => ERROR_MAX,
            Kind::Refused => REFUSED_MAX,
            Kind::LastWords => super::last_words::LENGTH,
        }
    }
}

/// How a step went: the first byte of a `Stepped` frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stepped {
    Effect = 0,
    Error = 1,
    Panic = 2,
    /// Over the limit; what was written is not sent.
    TooLarge = 3,
}

impl Stepped {
    pub(super) fn of(byte: u8) -> Option<Stepped> {
        [Stepped::Effect, Stepped::Error, Stepped::Panic, Stepped::TooLarge].into_iter().find(|s| *s as u8 == byte)
    }
}

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// Between two frames: the other side is done, or gone.
    #[error("the pipe was closed")]
    Closed,
    #[error("the pipe was closed within a frame")]
    Cut,
    #[error("a frame of {length} bytes, where {limit} are the most")]
    TooLong { length: usize, limit: usize },
    #[error("a frame of the unknown kind {0}")]
    UnknownKind(u8),
    #[error("the pipe cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Header and bytes, to be written at once.
pub(super) fn frame(kind: Kind, parts: &[&[u8]]) -> Result<Vec<u8>, FrameError> {
    let length = parts.iter().map(|part| part.len()).sum();
    let limit = kind.limit();
    let Some(short) = u32::try_from(length).ok().filter(|_| length <= limit) else {
        return Err(FrameError::TooLong { length, limit });
    };
    let mut frame = Vec::with_capacity(HEADER + length);
    frame.extend_from_slice(&short.to_le_bytes());
    frame.push(kind as u8);
    parts.iter().for_each(|part| frame.extend_from_slice(part));
    Ok(frame)
}

/// Takes the first frame of what was read so far, or says how many bytes of it are missing at least.
fn take(buffer: &mut BytesMut) -> Result<Result<(Kind, BytesMut), usize>, FrameError> {
    let Some((header, rest)) = buffer.split_first_chunk::<HEADER>() else {
        return Ok(Err(HEADER - buffer.len()));
    };
    let [a, b, c, d, kind] = *header;
    let kind = Kind::of(kind).ok_or(FrameError::UnknownKind(kind))?;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > kind.limit() {
        return Err(FrameError::TooLong { length, limit: kind.limit() });
    }
    if rest.len() < length {
        return Ok(Err(length - rest.len()));
    }
    let mut frame = buffer.split_to(HEADER + length);
    Ok(Ok((kind, frame.split_off(HEADER))))
}

fn at_end(buffer: &BytesMut) -> FrameError {
    if buffer.is_empty() { FrameError::Closed } else { FrameError::Cut }
}

/// Reads frames in the host, without blocking a thread.
pub(super) struct FrameReader<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(from: R) -> FrameReader<R> {
        FrameReader { from, buffer: BytesMut::new() }
    }

    /// The next frame. After an error there is none.
    pub(super) async fn next(&mut self) -> Result<(Kind, BytesMut), FrameError> {
        loop {
            let missing = match take(&mut self.buffer)? {
                Ok(frame) => return Ok(frame),
                Err(missing) => missing,
            };
            self.buffer.reserve(missing.max(CHUNK));
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(at_end(&self.buffer));
            }
        }
    }
}

/// Reads frames in the child, which has nothing else to do.
pub(super) struct BlockingFrameReader<R> {
    from: R,
    buffer: BytesMut,
    /// Where bytes are read to first, so that room for a long frame is not cleared anew for each of its pieces.
    piece: Box<[u8]>,
}

impl<R: io::Read> BlockingFrameReader<R> {
    pub(super) fn new(from: R) -> BlockingFrameReader<R> {
        BlockingFrameReader { from, buffer: BytesMut::new(), piece: vec![0; PIPE].into() }
    }

    /// As [`FrameReader::next`].
    pub(super) fn next(&mut self) -> Result<(Kind, BytesMut), FrameError> {
        loop {
            let missing = match take(&mut self.buffer)? {
                Ok(frame) => return Ok(frame),
                Err(missing) => missing,
            };
            self.buffer.reserve(missing);
            match self.from.read(&mut self.piece) {
                Ok(0) => return Err(at_end(&self.buffer)),
                Ok(count) => self.buffer.extend_from_slice(&self.piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Both readers over the same bytes, given one by one, must say the same.
    fn read_all(bytes: &[u8]) -> (Vec<(Kind, Vec<u8>)>, String) {
        struct OneByOne<'a>(&'a [u8]);
        impl io::Read for OneByOne<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
                into[0] = *first;
                self.0 = rest;
                Ok(1)
            }
        }
        let mut blocking = BlockingFrameReader::new(OneByOne(bytes));
        let mut waiting = FrameReader::new(bytes);
        let mut frames = Vec::new();
        loop {
            let (one, other) = (blocking.next(), waiting.next().now_or_never().unwrap());
            match (one, other) {
                (Ok(one), Ok(other)) => {
                    assert_eq!(one, other);
                    frames.push((one.0, one.1.to_vec()));
                }
                (Err(one), Err(other)) => {
                    assert_eq!(one.to_string(), other.to_string());
                    return (frames, one.to_string());
                }
                (one, other) => panic!("{one:?} and {other:?}"),
            }
        }
    }

    fn header(length: u32, kind: u8) -> Vec<u8> {
        [&length.to_le_bytes()[..], &[kind]].concat()
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let bytes = [
            frame(Kind::Create, &[]).unwrap(),
            frame(Kind::Step, &[b"{}"]).unwrap(),
            frame(Kind::Stepped, &[&[Stepped::Effect as u8], b"abc"]).unwrap(),
        ]
        .concat();
        let (frames, end) = read_all(&bytes);
        assert_eq!(frames, [(Kind::Create, vec![]), (Kind::Step, b"{}".to_vec()), (Kind::Stepped, b"\0abc".to_vec())]);
        assert_eq!(end, "the pipe was closed");
    }

    #[test]
    fn a_long_frame_in_pieces_costs_as_much_as_it_is_long() {
        /// Gives 1 KiB at a time, and remembers the most that it was offered room for.
        struct Pieces<'a>(&'a [u8], std::rc::Rc<std::cell::Cell<usize>>);
        impl io::Read for Pieces<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.1.set(self.1.get().max(into.len()));
                let (piece, rest) = self.0.split_at(self.0.len().min(into.len()).min(1024));
                into[..piece.len()].copy_from_slice(piece);
                self.0 = rest;
                Ok(piece.len())
            }
        }
        let event = vec![b'x'; 4 * 1024 * 1024];
        let bytes = frame(Kind::Step, &[&event]).unwrap();
        let offered = std::rc::Rc::new(std::cell::Cell::new(0));
        let mut reader = BlockingFrameReader::new(Pieces(&bytes, offered.clone()));
        assert_eq!(reader.next().unwrap(), (Kind::Step, BytesMut::from(&event[..])));
        assert!(offered.get() <= PIPE, "room for {} bytes was made for each KiB", offered.get());
    }

    #[test]
    fn every_kind_and_code_is_read_as_it_is_written() {
        for byte in 0..=u8::MAX {
            assert!(Kind::of(byte).is_none_or(|kind| kind as u8 == byte));
            assert!(Stepped::of(byte).is_none_or(|stepped| stepped as u8 == byte));
        }
        assert_eq!((0..=u8::MAX).filter_map(Kind::of).count(), 14);
    }

    #[test]
    fn a_frame_that_is_cut_is_told_from_an_end_between_frames() {
        assert_eq!(read_all(b"").1, "the pipe was closed");
        for cut in [&header(5, 22)[..3], &header(5, 22), &[&header(5, 22)[..], b"four"].concat()] {
            assert_eq!(read_all(cut), (vec![], "the pipe was closed within a frame".into()));
        }
    }

    #[test]
    fn a_frame_over_its_kinds_limit_is_refused_by_its_header_alone() {
        let longest = u32::try_from(1 + EFFECT_MAX).unwrap();
        assert_eq!(read_all(&header(longest + 1, 23)).1, "a frame of 1048578 bytes, where 1048577 are the most");
        assert_eq!(read_all(&header(1, 21)).1, "a frame of 1 bytes, where 0 are the most");
        assert!(read_all(&header(u32::MAX, 19)).1.starts_with("a frame of 4294967295 bytes"));
        assert!(matches!(frame(Kind::Create, &[b"x"]), Err(FrameError::TooLong { length: 1, limit: 0 })));
    }

    #[test]
    fn a_kind_that_is_not_known_is_refused() {
        assert_eq!(read_all(&header(0, 99)).1, "a frame of the unknown kind 99");
        let text = b"a plugin that writes to the pipe itself";
        assert!(read_all(text).1.starts_with("a frame of the unknown kind"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_go_on_for_ever(bytes in proptest::collection::vec(0u8..32, 0..64)) {
            read_all(&bytes);
        }
    }
}
