//! Certificates for brokers that speak TLS.

use std::path::Path;
use std::process::Command;

/// Makes in `folder` an authority (`ca.pem`), and a certificate with its key for 127.0.0.1 and for clients (`own.pem`, `own.key`).
///
/// # Panics
///
/// When there is no `openssl`.
pub fn make(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority"),
    );
    openssl(
        folder,
        &format!(
            "req -x509 {key} -keyout own.key -out own.pem -subj /CN=server -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        ),
    );
}

/// Makes in `folder` a certificate that nothing has signed but itself, for the name `broker.test`, with its key (`own.pem`, `own.key`). As tools
/// make them by default, it is an authority's.
///
/// # Panics
///
/// When there is no `openssl`.
pub fn make_self_signed(folder: &Path) {
    openssl(
        folder,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout own.key -out own.pem \
         -subj /CN=broker.test -addext subjectAltName=DNS:broker.test",
    );
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("openssl is installed (Debian: apt-get install openssl)");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
