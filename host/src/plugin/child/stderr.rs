//! What a child prints: read so that its pipe never fills, and the last line kept.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
};

/// The longest line that is kept, in bytes.
const LINE_MAX: usize = 300;
/// After the child's end its last output is there already; this only bounds a wait that should not be.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// A child's standard error.
pub(super) struct LastLine {
    line: Arc<Mutex<Line>>,
    reading: JoinHandle<()>,
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
        let text = String::from_utf8_lossy(&self.whole);
        let text: String = text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        (!text.is_empty()).then_some(text)
    }
}

impl LastLine {
    /// Reads to the end of `from`.
    pub(super) fn of(mut from: impl AsyncRead + Unpin + Send + 'static) -> LastLine {
        let line = Arc::new(Mutex::new(Line::default()));
        let kept = line.clone();
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(count) = from.read(&mut buffer).await
                && count > 0
            {
                kept.lock().unwrap_or_else(PoisonError::into_inner).read(&buffer[..count]);
            }
        });
        LastLine { line, reading }
    }

    /// The last line, once the child has ended.
    pub(super) async fn take(mut self) -> Option<String> {
        let _ = tokio::time::timeout(LAST_OUTPUT, &mut self.reading).await;
        self.line.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

impl Drop for LastLine {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn a_line_without_an_end_is_cut() {
        let mut line = Line::default();
        for _ in 0..100 {
            line.read(&[b'x'; 1000]);
        }
        assert_eq!(line.text().unwrap().len(), LINE_MAX);
    }
}
