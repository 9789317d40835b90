//! The arguments of `sio token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

/// The variables that hold a key to check with, and one to sign with; with `_FILE` they name a
/// file that does.
macro_rules! key_variables {
    () => {
        "
Keys are read from the file that --key-file names; without it from SIO_TOKENS_KEY, or from the file that SIO_TOKENS_KEY_FILE names. For `gen`
SIO_SIGNING_KEY and SIO_SIGNING_KEY_FILE come first: an issuer signs with the private key, a server checks with the public one. A file is a JWK
set if it begins with {, PEM if it begins with -----BEGIN, otherwise a secret of at least 32 bytes.
"
    };
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    Gen(TokenGenArgs),
    Check(TokenCheckArgs),
}

/// Make a token, and print it
#[derive(Debug, clap::Args)]
#[command(after_help = GEN_EXAMPLES)]
pub(crate) struct TokenGenArgs {
    /// The secret, or the private key in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The id of the key, by which a server that has several finds it (kid)
    #[arg(long, value_name = "ID")]
    pub(crate) kid: Option<String>,
    /// Another algorithm of the key's kind: HS256, HS384, HS512; RS256 to RS512, PS256 to PS512; ES256, ES384; EdDSA
    #[arg(long, value_name = "NAME")]
    pub(crate) alg: Option<String>,
    /// The client's name (sub); a token that refreshes another must have the same
    #[arg(long, value_name = "NAME")]
    pub(crate) sub: Option<String>,
    /// A pattern of rooms that the client may join, such as `order:*`; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) rooms: Vec<String>,
    /// A room that the client enters when it connects; may be repeated
    #[arg(long, visible_alias = "join", value_name = "ROOM", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) enter: Vec<String>,
    /// A pattern of rooms that the client may emit to; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) publish: Vec<String>,
    /// A pattern of namespaces that the token is for; may be repeated. Default: all that the server has
    #[arg(long, value_name = "PATTERN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) namespaces: Vec<String>,
    /// How long it is good: 30s, 15m, 1h, 7d; or `never`, which most servers refuse
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime)]
    pub(crate) expires: Lifetime,
    /// The issuer (iss)
    #[arg(long, value_name = "NAME")]
    pub(crate) iss: Option<String>,
    /// An audience (aud); may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) aud: Vec<String>,
    /// Further claims, a JSON object; those of other options count more
    #[arg(long, value_name = "JSON")]
    pub(crate) claims: Option<String>,
}

/// Show what a token says, and whether a server would accept it, or why not
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct TokenCheckArgs {
    /// The token; `-`, or none, reads it from standard input, which other users do not see in `ps`
    pub(crate) token: Option<String>,
    /// A file of keys that the token may be signed with: secret, public PEM, JWK set; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Vec<PathBuf>,
    /// An issuer that is expected; may be repeated. Default: any
    #[arg(long, value_name = "NAME")]
    pub(crate) iss: Vec<String>,
    /// An audience that the server is; may be repeated. Default: none, and a token that names one is refused
    #[arg(long, value_name = "NAME")]
    pub(crate) aud: Vec<String>,
    /// The namespace that the client would connect to
    #[arg(short, long, default_value = "/")]
    pub(crate) namespace: String,
    /// How far the clock of the issuer may differ
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = super::values::duration)]
    pub(crate) leeway: Duration,
    /// The claim that holds the grants as an object, if they are not claims of their own
    #[arg(long, value_name = "NAME")]
    pub(crate) grants_claim: Option<String>,
    /// One line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How long a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    For(Duration),
    ForEver,
}

/// Reads `30s`, `15m`, `1h`, `7d`, a number of seconds, or `never`; at most ten years.
fn lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "never" {
        return Ok(Lifetime::ForEver);
    }
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds_of_unit = match &text[digits.len()..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        unit => return Err(format!("unknown unit {unit:?}: use s, m, h or d")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a time such as 15m or 7d, or never")?;
    match number.saturating_mul(seconds_of_unit) {
        seconds @ 1..=315_360_000 => Ok(Lifetime::For(Duration::from_secs(seconds))),
        _ => Err("expected a time from 1s to 3650d, or never".to_owned()),
    }
}

const GEN_EXAMPLES: &str = concat!(
    "Examples:
  openssl rand -base64 48 > secret
  sio token gen --key-file secret --sub ada --rooms 'order:*' --enter user:ada
  sio token gen --key-file private.pem --sub ada --rooms '*' --publish 'chat:*' --expires 15m --aud chat
",
    key_variables!(),
    "
Exit code:
  0    printed
  2    the key, or a claim, cannot be used"
);

const CHECK_EXAMPLES: &str = concat!(
    "Examples:
  sio token gen --key-file secret --sub ada | sio token check --key-file secret
  sio token check --key-file keys.json --aud chat < token
",
    key_variables!(),
    "
Exit code:
  0    a server with these keys and options accepts the token
  1    it refuses it; standard error says why, and what the token says is printed all the same
  2    usage, or a key that cannot be used"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit_and_an_end_or_is_without_one() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("1h", 3_600), ("7d", 604_800), ("90", 90)] {
            assert_eq!(
                lifetime(text),
                Ok(Lifetime::For(Duration::from_secs(seconds))),
                "{text}"
            );
        }
        assert_eq!(lifetime("never"), Ok(Lifetime::ForEver));
        for bad in ["", "h", "0s", "-1h", "1.5h", "1y", "4000d", "99999999999999999999d"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
