//! Content codings: the compression of long-polling responses.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::Semaphore;

use crate::http::payload::PollPayload;

/// The bytes that are compressed before other tasks get their turn: less than a millisecond's work.
const CHUNK: usize = 64 * 1024;

/// Payloads longer than a chunk that are compressed at a time; each holds some 300 KiB meanwhile.
/// When all are busy the next payload is sent as it is.
static LONG: Semaphore = Semaphore::const_new(4);

/// A coding that a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// The coding `gzip`.
    Gzip,
    /// The coding `deflate`, which is the format of zlib.
    Deflate,
}

impl Coding {
    /// Returns the best coding that a client accepts.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut weights = Weights::default();
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            for each in value.to_str().ok()?.split(',') {
                weights.note(each)?;
            }
        }
        weights.best()
    }

    /// Returns its name as a header has it.
    pub(crate) fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        })
    }

    /// Compresses a payload, unless that gains nothing or too many long ones are being compressed.
    pub(crate) async fn compress(self, payload: &PollPayload) -> Option<Vec<u8>> {
        let _permit = match payload.len() {
            0..=CHUNK => None,
            _ => Some(LONG.try_acquire().ok()?),
        };
        let buffer = Vec::with_capacity(payload.len() / 2);
        // Writing to memory fails only if the encoder does, and then the payload goes as it is.
        let packed = match self {
            Self::Gzip => pass(GzEncoder::new(buffer, Compression::fast()), payload)
                .await?
                .finish(),
            Self::Deflate => pass(ZlibEncoder::new(buffer, Compression::fast()), payload)
                .await?
                .finish(),
        };
        packed.ok().filter(|packed: &Vec<u8>| packed.len() < payload.len())
    }
}

/// Passes a payload through an encoder, chunk by chunk; other tasks run between them.
async fn pass<W: Write>(mut encoder: W, payload: &PollPayload) -> Option<W> {
    let mut chunks = payload.chunks(CHUNK).into_iter().peekable();
    while let Some(chunk) = chunks.next() {
        let written: io::Result<()> = encoder.write_all(chunk);
        written.ok()?;
        if chunks.peek().is_some() {
            tokio::task::yield_now().await;
        }
    }
    Some(encoder)
}

/// The weight that a client gives each coding, in thousandths.
#[derive(Default)]
struct Weights {
    /// For `gzip`.
    gzip: Option<u16>,
    /// For `deflate`.
    deflate: Option<u16>,
    /// For `*`, all that are not named.
    others: Option<u16>,
}

impl Weights {
    /// Notes one entry of the header; `None` if it is malformed.
    fn note(&mut self, entry: &str) -> Option<()> {
        let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = match parameters
            .trim()
            .strip_prefix("q=")
            .or(parameters.trim().strip_prefix("Q="))
        {
            Some(quality) => (quality.trim().parse::<f32>().ok()?.clamp(0.0, 1.0) * 1000.0) as u16,
            None => 1000,
        };
        let name = name.trim();
        let slot = if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            &mut self.gzip
        } else if name.eq_ignore_ascii_case("deflate") {
            &mut self.deflate
        } else if name == "*" {
            &mut self.others
        } else {
            return Some(());
        };
        *slot = Some(weight);
        Some(())
    }

    /// Returns the coding with the greatest weight, `gzip` of two equals.
    fn best(&self) -> Option<Coding> {
        let others = self.others.unwrap_or(0);
        let (gzip, deflate) = (self.gzip.unwrap_or(others), self.deflate.unwrap_or(others));
        match (gzip, deflate) {
            (0, 0) => None,
            _ if gzip >= deflate => Some(Coding::Gzip),
            _ => Some(Coding::Deflate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        let cases = [
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("GZIP;q=0.1, deflate; q=0.9", Some(Coding::Deflate)),
            ("gzip;q=0", None),
            ("*", Some(Coding::Gzip)),
            ("gzip;q=0, *;q=0.5", Some(Coding::Deflate)),
            ("br", None),
            ("identity", None),
            ("", None),
            ("gzip;q=many", None),
        ];
        for (value, coding) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(Coding::accepted(&headers), coding, "{value}");
        }
        assert_eq!(Coding::accepted(&HeaderMap::new()), None);
    }
}
