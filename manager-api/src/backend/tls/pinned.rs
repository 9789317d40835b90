//! The checks of a certificate that is trusted itself: validity, purpose and name.

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

/// Checks that a certificate is valid now, for servers, and for this name.
pub(super) fn check(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = read(leaf).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    check_time(&certificate, now)?;
    check_purpose(&certificate)?;
    if let Ok(Some(_)) = certificate.subject_alternative_name() {
        return verify_server_name(&ParsedCertificate::try_from(leaf)?, name);
    }
    check_common_name(&certificate, name)
}

/// Returns the public key of a certificate of version 1, which webpki does not support; `None` for other versions.
pub(super) fn key_of_version_1<'a>(certificate: &'a CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'a>> {
    let certificate = read(certificate).filter(|certificate| certificate.version() == X509Version::V1)?;
    Some(certificate.tbs_certificate.subject_pki.raw.into())
}

fn read<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (_, certificate) = X509Certificate::from_der(certificate.as_ref()).ok()?;
    Some(certificate)
}

fn check_time(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let seconds = i64::try_from(now.as_secs()).ok();
    let time = seconds.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    let time = time.ok_or(Error::FailedToGetCurrentTime)?;
    let validity = certificate.validity();
    let fault = match (time < validity.not_before, time > validity.not_after) {
        (false, false) => return Ok(()),
        (true, _) => CertificateError::NotValidYet,
        _ => CertificateError::Expired,
    };
    Err(Error::InvalidCertificate(fault))
}

/// Checks that a certificate that lists purposes includes that of a server.
fn check_purpose(certificate: &X509Certificate<'_>) -> Result<(), Error> {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if !(usage.value.server_auth || usage.value.any) => {
            Err(Error::InvalidCertificate(CertificateError::InvalidPurpose))
        }
        _ => Ok(()),
    }
}

fn check_common_name(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let names = certificate.subject().iter_common_name();
    let names: Vec<_> = names.filter_map(|common| common.as_str().ok()).collect();
    let expected = name.to_str();
    if names.iter().any(|common| common.eq_ignore_ascii_case(&expected)) {
        return Ok(());
    }
    Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
        expected: name.to_owned(),
        presented: names.into_iter().map(str::to_owned).collect(),
    }))
}
