//! Tokens for tests, valid and forged, and a server of public keys.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A key for tests only; ring cannot generate RSA keys.
const RSA_KEY: &[u8] = include_bytes!("../keys/rsa.der");
/// The public RSA key in PEM, as programs keep it in files.
pub const RSA_PUBLIC_PEM: &str = include_str!("../keys/rsa.pub.pem");

/// The secret that tokens are signed with in tests.
pub const SECRET: &str = "a secret that only the tests know";
/// The key that links are signed with in tests.
pub const SIGNING_KEY: &str = "a key that signs the tests' links";

/// A key that signs tokens, with its id.
pub struct TokenKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Curve(EcdsaKeyPair, &'static str, &'static str),
    Edwards(Ed25519KeyPair),
}

impl TokenKey {
    /// Returns the RSA key of the tests.
    pub fn rsa(id: &str) -> Self {
        let pair = Pair::Rsa(Box::new(RsaKeyPair::from_der(RSA_KEY).unwrap()));
        let id = id.to_owned();
        Self { id, pair }
    }

    /// Generates a key on P-256.
    pub fn es256(id: &str) -> Self {
        let pair = curve(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let (id, pair) = (id.to_owned(), Pair::Curve(pair, "ES256", "P-256"));
        Self { id, pair }
    }

    /// Generates a key on P-384.
    pub fn es384(id: &str) -> Self {
        let pair = curve(&ECDSA_P384_SHA384_FIXED_SIGNING);
        let (id, pair) = (id.to_owned(), Pair::Curve(pair, "ES384", "P-384"));
        Self { id, pair }
    }

    pub fn ed25519(id: &str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Pair::Edwards(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap());
        let id = id.to_owned();
        Self { id, pair }
    }

    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Curve(_, algorithm, _) => algorithm,
            Pair::Edwards(_) => "EdDSA",
        }
    }

    /// Returns the public key as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kid": self.id, "kty": "RSA", "use": "sig",
                        "n": encoded(public.n), "e": encoded(public.e) })
            }
            Pair::Curve(pair, _, name) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kid": self.id, "kty": "EC", "crv": name,
                        "x": encoded(x), "y": encoded(y) })
            }
            Pair::Edwards(pair) => {
                let x = encoded(pair.public_key());
                json!({ "kid": self.id, "kty": "OKP", "crv": "Ed25519", "x": x })
            }
        }
    }

    /// Returns a token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": self.algorithm(), "kid": self.id });
        self.token_with(&header, claims)
    }

    /// Returns a token with any header. `PS256` is signed as such, everything else with the algorithm of the
    /// key.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |message| self.sign(header, message))
    }

    fn sign(&self, header: &Value, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                if header["alg"] == "PS256" {
                    pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature)
                } else {
                    pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                }
                .unwrap();
                signature
            }
            Pair::Curve(pair, ..) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

fn curve(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap()
}

/// Returns the claims of a user, valid for an hour.
pub fn claims(subject: &str) -> Value {
    json!({ "sub": subject, "exp": seconds_from_now(3600) })
}

/// Returns [`claims`] with further claims, which replace those of the same name.
pub fn claims_with(subject: &str, more: Value) -> Value {
    merged(claims(subject), more)
}

/// Adds the members of an object to another; those of the same name are replaced.
pub fn merged(mut all: Value, more: Value) -> Value {
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

/// Returns a token of the role `user` in a project, signed with [`SECRET`].
pub fn project_token(subject: &str, project: &str) -> String {
    secret_token(
        SECRET,
        &claims_with(subject, json!({ "project_id": project })),
    )
}

/// Returns a time as in the claims `exp` and `nbf`.
pub fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// Returns an HS256 token.
pub fn secret_token(secret: &str, claims: &Value) -> String {
    hs256_token(
        secret.as_bytes(),
        &json!({ "typ": "JWT", "alg": "HS256" }),
        claims,
    )
}

/// Returns a token with any header, signed with HS256.
pub fn hs256_token(secret: &[u8], header: &impl Display, claims: &impl Display) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    token(header, claims, |message| {
        hmac::sign(&key, message).as_ref().to_vec()
    })
}

/// Returns a token with any header, claims and signature, which need not be valid JSON.
pub fn token(
    header: &impl Display,
    claims: &impl Display,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> String {
    let message = format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(claims.to_string())
    );
    let signature = encoded(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A server of public keys on loopback.
pub struct KeyServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    answer: Answer,
    requests: usize,
}

/// A response of a key server.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A set of these keys.
    Keys(Vec<Value>),
    /// A status and a body.
    Body(u16, String),
    /// A redirect to a URL.
    Redirect(String),
    /// A key set that never ends.
    Endless,
    /// No response; the connection stays open.
    Silence,
}

impl KeyServer {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = 0;
        let state = Arc::new(Mutex::new(State { answer, requests }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            accepting,
        }
    }

    /// Starts a server with the public halves of keys.
    pub async fn with_keys(keys: &[&TokenKey]) -> Self {
        Self::start(keys_of(keys)).await
    }

    /// Returns the URL of the key set.
    pub fn url(&self) -> String {
        format!("http://{}/keys?private=s3cr3t", self.address)
    }

    /// Changes the response.
    pub fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    /// Changes the keys.
    pub fn publish(&self, keys: &[&TokenKey]) {
        self.answer(keys_of(keys));
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// Stops accepting connections.
    pub async fn stop(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }

    /// Accepts connections again, at the same address.
    pub async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting = tokio::spawn(accept(listener, Arc::clone(&self.state)));
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn keys_of(keys: &[&TokenKey]) -> Answer {
    Answer::Keys(keys.iter().map(|key| key.jwk()).collect())
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&state)));
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let answer = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        state.answer.clone()
    };
    let (status, headers, body) = match answer {
        Answer::Keys(keys) => (200, String::new(), json!({ "keys": keys }).to_string()),
        Answer::Body(status, body) => (status, String::new(), body),
        Answer::Redirect(url) => (302, format!("Location: {url}\r\n"), String::new()),
        Answer::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[")
                .await?;
            loop {
                stream.write_all(&[b' '; 16 * 1024]).await?;
            }
        }
        Answer::Silence => {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            return Ok(());
        }
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} So\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await
}
