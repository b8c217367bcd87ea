//! Until when a certificate is valid: the one field of X.509 that a probe needs (RFC 5280, 4.1.2.5).

/// One DER element: its tag, its content and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (digits, rest) = rest.split_at(count);
        (
            digits
                .iter()
                .fold(0, |n, digit| n << 8 | usize::from(*digit)),
            rest,
        )
    };
    (rest.len() >= length).then(|| (*tag, &rest[..length], &rest[length..]))
}

/// `notAfter` in seconds since 1970.
pub(super) fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(der)?;
    let (_, mut body, _) = element(certificate)?;
    // Version (optional), serial number, signature algorithm, issuer; then validity.
    if body.first() == Some(&0xa0) {
        body = element(body)?.2;
    }
    for _ in 0..3 {
        body = element(body)?.2;
    }
    let (_, validity, _) = element(body)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// `YYMMDDHHMMSSZ` (tag 23, years 1950 to 2049) or `YYYYMMDDHHMMSSZ` (tag 24).
fn time(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, digits.len()) {
        (0x17, 12) => {
            let year: i16 = digits[..2].parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                &digits[2..],
            )
        }
        (0x18, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let when =
        jiff::civil::DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0)
            .ok()?;
    Some(
        when.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag, 0x81, u8::try_from(content.len()).unwrap()];
        out.extend_from_slice(content);
        out
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, text, wanted) in [
            (0x17, "491231235959Z", 2524607999),
            (0x17, "500101000000Z", -631152000),
            (0x18, "20500101000000Z", 2524608000),
        ] {
            let validity = [wrap(0x17, b"200101000000Z"), wrap(tag, text.as_bytes())].concat();
            let body = [
                wrap(0xa0, &[2, 1, 2]),
                wrap(2, &[1]),
                wrap(0x30, &[]),
                wrap(0x30, &[]),
                wrap(0x30, &validity),
            ]
            .concat();
            let der = wrap(0x30, &wrap(0x30, &body));
            assert_eq!(not_after(&der), Some(wanted), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            not_after(&bytes);
        }

        #[test]
        fn no_nested_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            not_after(&wrap(0x30, &wrap(0x30, &bytes)));
        }
    }
}
