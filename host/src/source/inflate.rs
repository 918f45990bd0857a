//! What is compressed is read as if it were not.

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};

use crate::objects::Compression;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BUFFER_BYTES: usize = 128 << 10;

pub(super) type Input = Box<dyn AsyncRead + Send + Unpin>;

/// Reads what `raw` holds. With `auto` this waits for the first bytes, and must not be dropped then.
pub(super) async fn inflate(
    mut raw: impl AsyncRead + Send + Unpin + 'static,
    compression: Compression,
) -> io::Result<Input> {
    let compression = match compression {
        Compression::Auto => {
            let mut start = Vec::with_capacity(ZSTD.len());
            let found = loop {
                if let Some(found) = told_by(&start) {
                    break found;
                }
                let mut byte = [0];
                if raw.read(&mut byte).await? == 0 {
                    break Compression::None;
                }
                start.extend(byte);
            };
            return Ok(decoder(io::Cursor::new(start).chain(raw), found));
        }
        known => known,
    };
    Ok(decoder(raw, compression))
}

/// How bytes that begin like this are compressed; `None` if it takes more of them to tell.
pub(super) fn told_by(start: &[u8]) -> Option<Compression> {
    if start.starts_with(GZIP) {
        Some(Compression::Gzip)
    } else if start.starts_with(ZSTD) {
        Some(Compression::Zstd)
    } else if GZIP.starts_with(start) || ZSTD.starts_with(start) {
        None
    } else {
        Some(Compression::None)
    }
}

fn decoder(raw: impl AsyncRead + Send + Unpin + 'static, compression: Compression) -> Input {
    let buffered = |raw| BufReader::with_capacity(BUFFER_BYTES, raw);
    match compression {
        Compression::Auto | Compression::None => Box::new(raw),
        // Compressed files that were joined are one, to zcat and zstdcat as well.
        Compression::Gzip => {
            let mut decoder = GzipDecoder::new(buffered(raw));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Compression::Zstd => {
            let mut decoder = ZstdDecoder::new(buffered(raw));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    pub(crate) async fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    pub(crate) async fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZstdEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    async fn read(bytes: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        inflate(io::Cursor::new(bytes), compression).await?.read_to_end(&mut out).await?;
        Ok(out)
    }

    #[tokio::test]
    async fn the_first_bytes_tell_how_it_is_compressed() {
        let plain = b"{\"a\": 1}\n".as_slice();
        for bytes in [plain.to_vec(), gzip(plain).await, zstd(plain).await] {
            assert_eq!(read(bytes, Compression::Auto).await.unwrap(), plain);
        }
        for short in ["", "{", "(", "\u{1f}", "{}"] {
            let bytes = short.as_bytes().to_vec();
            assert_eq!(read(bytes, Compression::Auto).await.unwrap(), short.as_bytes());
        }
        assert_eq!(read(gzip(plain).await, Compression::None).await.unwrap(), gzip(plain).await);
    }

    #[tokio::test]
    async fn joined_files_are_read_to_the_end() {
        let (first, second) = (b"{\"a\": 1}".as_slice(), b"{\"a\": 2}".as_slice());
        let all = [first, second].concat();
        let gzip = [gzip(first).await, gzip(second).await].concat();
        assert_eq!(read(gzip, Compression::Auto).await.unwrap(), all);
        let zstd = [zstd(first).await, zstd(second).await].concat();
        assert_eq!(read(zstd, Compression::Zstd).await.unwrap(), all);
    }

    #[tokio::test]
    async fn a_file_that_was_cut_short_or_is_another_is_an_error() {
        let whole = gzip(&[b'x'; 1000]).await;
        let cut = whole[..whole.len() - 9].to_vec();
        let error = read(cut, Compression::Auto).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(read(b"{}".repeat(100), Compression::Gzip).await.is_err());
        assert!(read(b"{}".repeat(100), Compression::Zstd).await.is_err());
    }
}
