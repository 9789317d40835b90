//! Certificates for brokers that speak TLS.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Certificates in a folder that ends with this value.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes those that [`make`] makes.
    ///
    /// # Errors
    ///
    /// If a temporary folder cannot be made.
    ///
    /// # Panics
    ///
    /// When `openssl` is missing.
    pub fn signed() -> Result<Self, String> {
        Self::made_by(make)
    }

    /// Makes one that nothing has signed but itself, for the name `broker.test`, with its key (`own.pem`, `own.key`). As tools make them by
    /// default, it is an authority's.
    ///
    /// # Errors
    ///
    /// If a temporary folder cannot be made.
    ///
    /// # Panics
    ///
    /// When `openssl` is missing.
    pub fn self_signed() -> Result<Self, String> {
        Self::made_by(make_self_signed)
    }

    fn made_by(make: impl FnOnce(&Path)) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        make(folder.path());
        Ok(Self(folder))
    }

    /// Returns the path of one of them.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// Makes in `folder` an authority (`ca.pem`), and a certificate with its key for 127.0.0.1 and for clients (`own.pem`, `own.key`).
///
/// # Panics
///
/// When `openssl` is missing.
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

fn make_self_signed(folder: &Path) {
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
