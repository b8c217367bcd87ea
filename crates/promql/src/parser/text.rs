//! Strings: quoting and unquoting as Go does.

/// Words with a meaning in the grammar, for highlighting and completion.
pub fn is_keyword(word: &str) -> bool {
    super::lex::keyword(&word.to_ascii_lowercase()).is_some()
}

/// The bytes between the quotes of a literal with escapes replaced; `None` when an escape is wrong.
pub(crate) fn unquote(literal: &str) -> Option<Vec<u8>> {
    let quote = literal.chars().next()?;
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(inner.bytes().filter(|b| *b != b'\r').collect());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at + 1..].chars().next()?;
        let body = &rest[at + 1 + escape.len_utf8()..];
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let simple = match escape {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            c if c == quote => Some(quote as u8),
            _ => None,
        };
        if let Some(byte) = simple {
            out.push(byte);
            rest = body;
        } else if digits > 0 {
            let number = u32::from_str_radix(body.get(..digits)?, 16).ok()?;
            if digits == 2 {
                out.push(number as u8);
            } else {
                let c = char::from_u32(number)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            rest = &body[digits..];
        } else if escape.is_digit(8) {
            let octal = rest.get(at + 1..at + 4)?;
            out.push(u8::try_from(u32::from_str_radix(octal, 8).ok()?).ok()?);
            rest = &rest[at + 4..];
        } else {
            return None;
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

/// Go's `strconv.Quote` of bytes that need not be UTF-8.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let mut quoted = String::new();
        bellwether_model::labels::write_quoted(&mut quoted, chunk.valid())
            .expect("writing to a string does not fail");
        out.push_str(&quoted[1..quoted.len() - 1]);
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}
