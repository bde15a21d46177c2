//! What a child prints: read so that its pipe never fills, and the last line kept.

use std::{
    future::poll_fn,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    task::JoinHandle,
};

use crate::plugin::text;

/// All that a pipe holds, in bytes: a child that prints much waits for us each time it is full.
const AT_ONCE: usize = 64 * 1024;
/// After less than half of that, so long passes before the next reading: else each line that a child prints would wake
/// us, which costs many times what it costs the child.
const GATHER: Duration = Duration::from_millis(10);
/// The longest line that is kept, in bytes.
const LINE_MAX: usize = 300;
/// After the child's end its last output is there already; this only bounds a wait that should not be.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// A child's standard error.
pub(super) struct LastLine {
    line: Arc<Mutex<Line>>,
    printed: Printed,
    reading: JoinHandle<()>,
}

/// How many bytes a child has printed, as far as they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Printed(Arc<AtomicU64>);

impl Printed {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Line {
    /// Under way, up to the limit.
    bytes: Vec<u8>,
    /// The newest that was not empty.
    whole: Vec<u8>,
}

impl Line {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end(),
                byte if self.bytes.len() < LINE_MAX => self.bytes.push(*byte),
                _ => {}
            }
        }
    }

    fn end(&mut self) {
        if !self.bytes.trim_ascii().is_empty() {
            std::mem::swap(&mut self.whole, &mut self.bytes);
        }
        self.bytes.clear();
    }

    /// As text for people: no control characters, which a terminal would obey.
    fn text(&mut self) -> Option<String> {
        self.end();
        let text = text::of_bytes(&self.whole, LINE_MAX);
        (!text.is_empty()).then_some(text)
    }
}

impl LastLine {
    /// Reads to the end of `from`.
    pub(super) fn of(mut from: impl AsyncRead + Unpin + Send + 'static) -> LastLine {
        let line = Arc::new(Mutex::new(Line::default()));
        let kept = line.clone();
        let printed = Printed::default();
        let counted = printed.clone();
        let reading = tokio::spawn(async move {
            let read = |bytes: &[u8]| {
                kept.lock().unwrap_or_else(PoisonError::into_inner).read(bytes);
                counted.add(bytes.len());
            };
            while let Ok(count @ 1..) = read_some(&mut from, &read).await {
                if count < AT_ONCE / 2 {
                    tokio::time::sleep(GATHER).await;
                }
            }
        });
        LastLine { line, printed, reading }
    }

    pub(super) fn printed(&self) -> Printed {
        self.printed.clone()
    }

    /// The last line, once the child has ended.
    pub(super) async fn take(mut self) -> Option<String> {
        let _ = tokio::time::timeout(LAST_OUTPUT, &mut self.reading).await;
        self.line.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

/// Reads once and hands the bytes on; how many there were, 0 at the end. The buffer is there only while it is used: most
/// children print nothing.
async fn read_some(from: &mut (impl AsyncRead + Unpin), taken: &impl Fn(&[u8])) -> std::io::Result<usize> {
    poll_fn(|context| {
        let mut space = [const { MaybeUninit::uninit() }; AT_ONCE];
        let mut buffer = ReadBuf::uninit(&mut space);
        Pin::new(&mut *from).poll_read(context, &mut buffer).map_ok(|()| {
            taken(buffer.filled());
            buffer.filled().len()
        })
    })
    .await
}

impl Drop for LastLine {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    async fn last_line(output: &'static [u8]) -> Option<String> {
        LastLine::of(output).take().await
    }

    #[tokio::test]
    async fn the_last_line_that_says_something_is_kept() {
        assert_eq!(last_line(b"").await, None);
        assert_eq!(last_line(b"\n \n").await, None);
        assert_eq!(last_line(b"one\ntwo\n\n").await.as_deref(), Some("two"));
        assert_eq!(last_line(b"one\ncut off").await.as_deref(), Some("cut off"));
        assert_eq!(last_line(b"\x1b[31mred \xff\n").await.as_deref(), Some("\u{fffd}[31mred \u{fffd}"));
    }

    /// Always has more, and counts how often it is asked.
    struct Chatty {
        left: usize,
        /// The most that it gives at once.
        piece: usize,
        asked: Arc<AtomicUsize>,
    }

    impl AsyncRead for Chatty {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let count = self.left.min(self.piece).min(buffer.remaining());
            self.left -= count;
            buffer.put_slice(&vec![b'x'; count]);
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_printed_line_by_line_is_gathered() {
        let asked = Arc::new(AtomicUsize::new(0));
        let chatty = Chatty { left: 700, piece: 7, asked: asked.clone() };
        let begun = std::time::Instant::now();
        LastLine::of(chatty).take().await;
        let most = 2 + begun.elapsed().as_millis() / GATHER.as_millis();
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked as u128 <= most, "{asked} reads where {most} belong");
    }

    #[tokio::test]
    async fn what_a_chatty_child_prints_is_taken_a_pipe_at_a_time() {
        let asked = Arc::new(AtomicUsize::new(0));
        let chatty = Chatty { left: 10 * AT_ONCE, piece: usize::MAX, asked: asked.clone() };
        assert_eq!(LastLine::of(chatty).take().await.unwrap().len(), LINE_MAX);
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked <= 11, "{asked} reads");
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut() {
        let mut line = Line::default();
        for _ in 0..100 {
            line.read(&[b'x'; 1000]);
        }
        assert_eq!(line.text().unwrap().len(), LINE_MAX);
    }
}
