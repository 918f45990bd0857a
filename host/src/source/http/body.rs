//! Bodies of requests, within bounds: of size, also unpacked; of time; of all that waits.

use std::io;
use std::time::Instant;

use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout_at;
use tokio_util::io::StreamReader;

use super::intake::Room;
use super::refusal::Refusal;

/// What is made room for at first, if a client does not say how much comes.
const FIRST_BYTES: usize = 4 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
}

/// The body as it was before it was packed. `room` holds what it takes.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    bytes_max: usize,
    room: &mut Room,
    until: Instant,
) -> Result<Bytes, Refusal> {
    let packing = packing(headers)?;
    let told = headers.get(CONTENT_LENGTH).and_then(|told| told.to_str().ok()?.parse().ok());
    if told.is_some_and(|told: usize| told > bytes_max) {
        return Err(Refusal::TooLarge { what: format!("a body has {bytes_max} bytes at most") });
    }
    let stream = body.into_data_stream().map_err(io::Error::other);
    let raw = StreamReader::new(stream);
    let expected = told.filter(|_| packing == Packing::None).unwrap_or(FIRST_BYTES);
    let reading = async {
        match packing {
            Packing::None => gather(raw, expected, bytes_max, room).await,
            Packing::Gzip => {
                let mut unpacked = GzipDecoder::new(raw);
                unpacked.multiple_members(true);
                gather(unpacked, expected, bytes_max, room).await
            }
        }
    };
    match timeout_at(until.into(), reading).await {
        Ok(body) => body,
        Err(_) => Err(Refusal::Slow),
    }
}

fn packing(headers: &HeaderMap) -> Result<Packing, Refusal> {
    let mut named = headers.get_all(CONTENT_ENCODING).iter();
    let first = named.next().map(|name| name.to_str().unwrap_or_default().trim());
    match (first, named.next()) {
        (None | Some("" | "identity"), None) => Ok(Packing::None),
        (Some(name), None) if name.eq_ignore_ascii_case("gzip") => Ok(Packing::Gzip),
        _ => Err(Refusal::Encoding),
    }
}

async fn gather(
    mut input: impl AsyncRead + Unpin,
    expected: usize,
    bytes_max: usize,
    room: &mut Room,
) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    let mut size = expected.min(bytes_max) + 1;
    loop {
        if !room.hold(size) {
            return Err(Refusal::Busy);
        }
        bytes.reserve(size - bytes.len());
        while bytes.len() < size {
            let mut limited = (&mut input).take((size - bytes.len()) as u64);
            match limited.read_buf(&mut bytes).await {
                Ok(0) => return Ok(bytes.freeze()),
                Ok(_) => {}
                Err(error) => return Err(Refusal::Unreadable { why: error.to_string() }),
            }
        }
        if bytes.len() > bytes_max {
            return Err(Refusal::TooLarge {
                what: format!("a body has {bytes_max} bytes at most, unpacked"),
            });
        }
        size = (size * 2).min(bytes_max + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_compression::tokio::write::GzipEncoder;
    use axum::http::HeaderValue;
    use tokio::io::AsyncWriteExt as _;

    use super::super::intake::Intake;
    use super::*;

    async fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    async fn read_of(intake: &Arc<Intake>, body: Vec<u8>, packed: &str) -> Result<Bytes, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_str(packed).unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        read(Body::from(body), &headers, 1 << 20, &mut intake.room(), until).await
    }

    #[tokio::test]
    async fn a_body_is_read_packed_or_not() {
        let intake = Arc::new(Intake::new(8 << 20));
        for bytes in [&b"{}"[..], &[b'x'; 4096], &[b'x'; 4097], &vec![b'x'; 1 << 20], b""] {
            assert_eq!(read_of(&intake, bytes.to_vec(), "identity").await.unwrap(), bytes);
            assert_eq!(read_of(&intake, gzip(bytes).await, "gzip").await.unwrap(), bytes);
        }
        let joined = [gzip(b"{}").await, gzip(b"[]").await].concat();
        assert_eq!(read_of(&intake, joined, "gzip").await.unwrap(), &b"{}[]"[..]);
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_however_small_it_was_packed() {
        let intake = Arc::new(Intake::new(8 << 20));
        let large = vec![b'x'; (1 << 20) + 1];
        let bomb = gzip(&vec![0; 64 << 20]).await;
        assert!(bomb.len() < 1 << 18);
        for (body, packed) in [(large.clone(), ""), (gzip(&large).await, "gzip"), (bomb, "gzip")] {
            let refused = read_of(&intake, body, packed).await;
            assert!(matches!(refused, Err(Refusal::TooLarge { .. })), "{refused:?}");
        }
        assert!(intake.room().hold(8 << 20), "nothing is held any more");
    }

    #[tokio::test]
    async fn what_is_not_packed_as_it_says_is_refused() {
        let intake = Arc::new(Intake::new(8 << 20));
        let mut cut = gzip(&[b'x'; 9999]).await;
        cut.truncate(cut.len() - 9);
        for body in [b"{}".to_vec(), cut] {
            let refused = read_of(&intake, body, "gzip").await;
            assert!(matches!(refused, Err(Refusal::Unreadable { .. })), "{refused:?}");
        }
        assert_eq!(read_of(&intake, b"{}".to_vec(), "br").await, Err(Refusal::Encoding));
    }

    #[tokio::test]
    async fn bodies_take_no_more_room_than_there_is() {
        let intake = Arc::new(Intake::new(1 << 20));
        let mut room = intake.room();
        assert!(room.hold(1 << 20));
        assert_eq!(read_of(&intake, b"{}".to_vec(), "").await, Err(Refusal::Busy));
        drop(room);
        assert!(read_of(&intake, b"{}".to_vec(), "").await.is_ok());
    }
}
