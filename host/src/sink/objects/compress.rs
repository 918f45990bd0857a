//! NDJSON made smaller. Both formats allow for pieces one behind the other, so that batches are compressed
//! where they are encoded, and objects are put together without looking at them again.

use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use futures_util::FutureExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Zstd,
}

impl Codec {
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }

    pub fn compress<'a>(self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        match self {
            Self::Gzip => {
                let mut encoder = GzipEncoder::new(Vec::new());
                write_all(&mut encoder, pieces);
                encoder.into_inner()
            }
            Self::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new());
                write_all(&mut encoder, pieces);
                encoder.into_inner()
            }
        }
    }
}

fn write_all<'a>(
    encoder: &mut (impl AsyncWrite + Unpin),
    pieces: impl IntoIterator<Item = &'a [u8]>,
) {
    let written = async {
        for piece in pieces {
            encoder.write_all(piece).await?;
        }
        encoder.shutdown().await
    };
    written.now_or_never().expect("memory is always ready").expect("memory takes all");
}
