//! Text in a path or its query.

use std::fmt::Write as _;

/// Percent-encoded, all but RFC 3986's unreserved characters.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => {
                // Writing into a String does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_models_are_encoded() {
        assert_eq!(super::encoded("ggml-org/gemma 3:Q4_K_M&x=ü"), "ggml-org%2Fgemma%203%3AQ4_K_M%26x%3D%C3%BC");
    }
}
