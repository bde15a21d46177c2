//! What a dying child still says: which system call was refused, and how much memory it had. Its signal is in its end.

/// Bytes of its frame.
pub(super) const LENGTH: usize = 12;

/// Written by the child's signal handler, so of fixed size and without allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugin) struct LastWords {
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
        frame[5..9].copy_from_slice(&self.call.to_le_bytes());
        frame[9..].copy_from_slice(&self.memory_left.to_le_bytes());
        frame
    }

    pub(super) fn read(bytes: &[u8]) -> Option<LastWords> {
        let (call, left) = bytes.split_first_chunk()?;
        Some(LastWords { call: i32::from_le_bytes(*call), memory_left: u64::from_le_bytes(left.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_a_frame() {
        let words = LastWords { call: 257, memory_left: 1 << 40 };
        let frame = words.frame();
        assert_eq!(frame, *super::super::frame::frame(super::super::frame::Kind::LastWords, &[&frame[5..]]).unwrap());
        assert_eq!(LastWords::read(&frame[5..]), Some(words));
        assert_eq!(LastWords::read(&frame[6..]), None);
    }
}
