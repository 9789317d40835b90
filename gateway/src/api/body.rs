//! The body of a request, read within limits of size and time.

use std::error::Error as StdError;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::config::ApiConfig;
use super::problem::{Code, Problem};

/// An error of a body.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// Reads a body as text.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, config: &ApiConfig) -> Result<String, Problem>
where
    B: http_body::Body,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let max = config.max_body_bytes;
    let too_large = || {
        let detail = format!("the limit for a body is {max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::BodyTooLarge, detail)
    };
    let is_coded = |coding: &http::HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(header::CONTENT_ENCODING).is_some_and(is_coded) {
        let detail = "a body must not be compressed";
        return Err(Problem::new(StatusCode::BAD_REQUEST, Code::BodyBroken, detail));
    }
    // One that says so is not read at all.
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > max as u64)
    {
        return Err(too_large());
    }
    let reading = tokio::time::timeout(config.body_timeout, Limited::new(body, max).collect());
    let bytes: Bytes = match reading.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                Code::BodyBroken,
                "the body could not be read to its end",
            ));
        }
        Err(_) => {
            let detail = "the body has not come in time";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, Code::BodyTimeout, detail));
        }
    };
    let not_text = |_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            Code::NotJson,
            "the body is not JSON: it is not UTF-8",
        )
    };
    String::from_utf8(bytes.into()).map_err(not_text)
}
