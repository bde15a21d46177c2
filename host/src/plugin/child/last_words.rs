//! What a dying child still says: which signal, which refused system call, and how much memory it had.

/// Bytes of its frame.
pub(super) const LENGTH: usize = 13;

/// Written by the child's signal handler, so of fixed size and without allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugin) struct LastWords {
    pub(in crate::plugin) signal: u8,
    /// The number of the system call that was refused; -1: none was.
    pub(in crate::plugin) call: i32,
    /// What it might still have allocated, in bytes.
    pub(in crate::plugin) memory_left: u64,
}

impl LastWords {
    /// The whole frame.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only there a child hears of its death"))]
    pub(in crate::plugin) fn frame(self) -> [u8; 5 + LENGTH] {
        let mut frame = [0; 5 + LENGTH];
        frame[0] = LENGTH as u8;
        frame[4] = super::frame::Kind::LastWords as u8;
        frame[5] = self.signal;
        frame[6..10].copy_from_slice(&self.call.to_le_bytes());
        frame[10..].copy_from_slice(&self.memory_left.to_le_bytes());
        frame
    }

    pub(super) fn read(bytes: &[u8]) -> Option<LastWords> {
        let (signal, rest) = bytes.split_first()?;
        let (call, left) = rest.split_first_chunk()?;
        Some(LastWords {
            signal: *signal,
            call: i32::from_le_bytes(*call),
            memory_left: u64::from_le_bytes(left.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_a_frame() {
        let words = LastWords { signal: 31, call: 257, memory_left: 1 << 40 };
        let frame = words.frame();
        assert_eq!(frame, *super::super::frame::frame(super::super::frame::Kind::LastWords, &[&frame[5..]]).unwrap());
        assert_eq!(LastWords::read(&frame[5..]), Some(words));
        assert_eq!(LastWords::read(&frame[6..]), None);
    }
}
