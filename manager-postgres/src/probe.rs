//! The probe of a port whose service ended a connection before the login.

use std::io;
use std::time::Duration;

use manager_api::backend::dial;
use manager_api::backend::url::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The request for TLS, with which a connection may begin.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The first byte of PostgreSQL's answer: yes, no, or an error.
const ANSWERS: &[u8] = b"SNE";
/// The longest wait for the answer: a service that waits for more is not told apart from one that is busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns whether another service than PostgreSQL answers at an address. False also if nothing answers.
pub(crate) async fn is_foreign(at: &Address) -> bool {
    let asked = async {
        let mut stream = dial::connect(&at.host, at.port).await?;
        stream.write_all(&TLS_REQUEST).await?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(!ANSWERS.contains(&answer[0]))
    };
    matches!(timeout(PATIENCE, asked).await, Ok(Ok(true)))
}
