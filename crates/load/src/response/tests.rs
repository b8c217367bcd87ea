use proptest::prelude::*;

use super::*;

/// Feeds the text in pieces of a size; the end, or what went wrong.
fn read(text: &[u8], piece: usize, head_only: bool) -> Result<Option<(u16, bool, usize)>, Fault> {
    let mut reading = Reading::default();
    reading.begin(head_only);
    let mut before = 0;
    for part in text.chunks(piece) {
        if let Progress::Done(ended) = reading.feed(part)? {
            return Ok(Some((ended.status, ended.keep_alive, before + ended.used)));
        }
        before += part.len();
    }
    Ok(None)
}

#[test]
fn ends_are_found_however_the_bytes_come() {
    let cases: [(&str, bool, u16, bool); 8] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            false,
            200,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length:0\r\nConnection: close\r\n\r\n",
            false,
            200,
            false,
        ),
        (
            "HTTP/1.0 404 no\r\nContent-Length: 2\r\n\r\nno",
            false,
            404,
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
            false,
            200,
            true,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, 204, true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            true,
            200,
            true,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nX: y\r\n\r\n",
            false,
            201,
            true,
        ),
        (
            "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n",
            false,
            500,
            true,
        ),
    ];
    for (text, head_only, status, keep_alive) in cases {
        let with_rest = format!("{text}HTTP/1.1 200");
        for piece in 1..=text.len() {
            assert_eq!(
                read(with_rest.as_bytes(), piece, head_only),
                Ok(Some((status, keep_alive, text.len()))),
                "{text:?} in pieces of {piece}"
            );
        }
    }
}

#[test]
fn what_is_no_response_is_refused() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        for piece in [1, 7, 1000] {
            assert_eq!(
                read(text.as_bytes(), piece, false),
                Err(Fault::Malformed),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_head_without_end_is_cut_off() {
    let mut reading = Reading::default();
    reading.begin(false);
    let mut fed = reading.feed(b"HTTP/1.1 200 OK\r\n").map(|_| ());
    let mut turns = 0;
    while fed.is_ok() {
        fed = reading.feed(b"X-Padding: 0123456789\r\n").map(|_| ());
        turns += 1;
        assert!(turns < 10_000);
    }
    assert_eq!(fed, Err(Fault::HeadTooLong));
}

#[test]
fn without_a_length_the_connection_s_end_is_the_response_s() {
    let mut reading = Reading::default();
    reading.begin(false);
    assert_eq!(
        reading.feed(b"HTTP/1.1 200 OK\r\n\r\nhello"),
        Ok(Progress::More)
    );
    assert_eq!(reading.end().map(|ended| ended.status), Ok(200));
    reading.begin(false);
    assert_eq!(
        reading.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"),
        Ok(Progress::More)
    );
    assert_eq!(reading.end(), Err(Fault::Truncated));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(text in proptest::collection::vec(any::<u8>(), 0..200), prefix in 0..3_usize, piece in 1..50_usize) {
        let start: &[u8] = [b"".as_slice(), b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"][prefix];
        let whole = [start, &text].concat();
        let at_once = read(&whole, whole.len().max(1), false);
        let in_pieces = read(&whole, piece, false);
        prop_assert_eq!(at_once, in_pieces);
    }
}
