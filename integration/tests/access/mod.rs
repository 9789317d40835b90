//! Access by token and the HTTP API, with the makers of tokens and the clients that applications use.

mod curl;
mod tokens;

use std::net::SocketAddr;

use gateway::access::{Access, AccessConfig, Key, Keys};
use integration::client::{ConnectOptions, Kind, RealClient, Refusal};
use integration::driven::Driven;
use serde_json::{Value, json};
use socket_io::SocketIo;
use tokio::net::TcpListener;

/// The secret that issuer and server share.
const SECRET: &str = "a secret of the tests, longer than 32 bytes";
/// The audience that the server is.
const AUDIENCE: &str = "chat";

/// A maker of tokens of another implementation.
struct Maker(Driven);

impl Maker {
    /// Starts PyJWT and jose.
    fn all() -> [(&'static str, Self); 2] {
        let python = Driven::python("tokens.py", &[]);
        [("PyJWT", Self(python)), ("jose", Self(Driven::node("tokens.js", &[])))]
    }

    /// Makes a token with an algorithm and its key: a secret, or a pair of `gateway/testdata`.
    async fn sign(&mut self, alg: &str, claims: &Value) -> String {
        let key = match alg {
            "none" => Value::Null,
            _ if alg.starts_with("HS") => json!(SECRET),
            _ => json!(pem(pair(alg))),
        };
        self.command(json!({"cmd": "sign", "alg": alg, "key": key, "claims": claims}))
            .await
    }

    /// Makes a token that is signed by HMAC with the text of a public key.
    async fn forge(&mut self, public: &str, claims: &Value) -> String {
        self.command(json!({"cmd": "forge", "alg": "HS256", "key": public, "claims": claims}))
            .await
    }

    async fn command(&mut self, command: Value) -> String {
        let token = self.0.call(command).await;
        token.as_str().expect("a token").to_owned()
    }
}

/// Returns the name of the pair for an algorithm.
fn pair(alg: &str) -> &'static str {
    match alg {
        "ES256" => "p256",
        "ES384" => "p384",
        "EdDSA" => "ed25519",
        _ => "rsa",
    }
}

fn pem(name: &str) -> String {
    let path = format!("{}/../gateway/testdata/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A server that accepts tokens of every kind of key.
async fn protected() -> (SocketIo, Access, SocketAddr) {
    let public = ["rsa", "p256", "p384", "ed25519"].map(|name| Key::pem(&pem(&format!("{name}.pub"))).unwrap());
    let keys = public.into_iter().flatten().chain([Key::secret(SECRET).unwrap()]);
    let mut config = AccessConfig::default();
    config.audiences = vec![AUDIENCE.to_owned()];
    config.limits.refused_per_minute = 0;
    let access = Access::new(&Keys::new(keys).unwrap(), config).unwrap();
    let io = SocketIo::new();
    access.protect(&io.namespace("/")).rooms(&io.namespace("/"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(socket_io::serve(listener, io.clone(), std::future::pending()));
    (io, access, address)
}

/// Connects a client with a token.
async fn connect(kind: Kind, address: SocketAddr, token: &str) -> Result<RealClient, Refusal> {
    let mut options = ConnectOptions::to(&format!("http://{address}"));
    options.auth = Some(json!({ "token": token }));
    let mut client = RealClient::spawn(kind).await;
    client.connect(&options).await.map(|_| client)
}
