//! Texts of plugins on their way to people: what a terminal would obey, or a reader could be deceived by, is kept out.

/// Does this character show as nothing of its own, and change what stands around it? Control characters, which a
/// terminal obeys; line separators; and those that turn the direction of writing.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Is the text one line that shows as what it is?
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(is_control)
}

/// The text with each such character made visible; line breaks and tabs stay.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_control(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// At most so many bytes of a text, cut between characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What a plugin wrote as a text for people: bad bytes and control characters replaced, at most `max` bytes.
pub(super) fn of_bytes(bytes: &[u8], max: usize) -> String {
    // Each bad byte becomes three.
    let text = plain(&String::from_utf8_lossy(&bytes[..bytes.len().min(max)]));
    cut(text.trim(), max).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_seen_instead() {
        for forged in ["GET /\x1b[2K\rGET /", "two\nlines", "\u{202e}desrever", "a\u{9b}b", "nul\0"] {
            assert!(!is_plain(forged), "{forged:?}");
            assert!(is_plain(&plain(&forged.replace('\n', " "))), "{forged:?}");
        }
        assert!(is_plain("Größe, 模型 and 👩‍🔬 \u{fffd}"));
        assert_eq!(plain("one\ttwo\nthree\x07"), "one\ttwo\nthree\u{fffd}");
    }

    #[test]
    fn texts_are_cut_between_characters_and_never_longer_than_asked() {
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(cut("abc", 7), "abc");
        assert_eq!(of_bytes(b"  not today\n", 100), "not today");
        let bad = of_bytes(&[0xff; 4096], 4096);
        assert!(bad.len() <= 4096 && bad.chars().all(|c| c == '\u{fffd}'), "{}", bad.len());
    }
}
