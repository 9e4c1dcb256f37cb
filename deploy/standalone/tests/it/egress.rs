//! The egress gate: the worker reaches the public internet only, whatever URLs, names and origins say. Each
//! test runs in a closed network where every address leads to a honeypot, which detects connections of failed
//! imports as well.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use media_testkit::{
    closed_network::{self, PUBLIC_V4},
    service::{import, unique},
};
use serde_json::json;

use addresses::{BEYOND_HONEYPOTS, NETWORKS, SPELLINGS};
use fixture::{Fixture, at, name_of_network};

mod addresses;
mod fixture;
mod names;
mod redirects;
mod secrets;

/// URLs of public origins that resemble URLs of forbidden addresses.
const LOOKALIKE_URLS: [&str; 8] = [
    "http://127.0.0.1@public.test/echo",
    "http://127.0.0.1:80@public.test/echo",
    "http://127.0.0.1%2f@public.test/echo",
    "http://public.test/echo#@127.0.0.1/",
    "http://public.test/echo?@127.0.0.1/",
    "http://public.test/echo?http://127.0.0.1/",
    "http://PUBLIC.TEST./echo",
    "http://[2606:2800:21f:cb07::14]/echo",
];

/// Short timeouts for connections to honeypots, which never answer.
const SHORT_TIMEOUTS: [(&str, &str); 2] = [
    ("MEDIA_CONNECT_TIMEOUT", "1s"),
    ("MEDIA_RESPONSE_TIMEOUT", "1s"),
];

/// Returns the URL of an address and a port.
fn url_of(address: &str, port: u16) -> String {
    format!("http://{}/", at(address, port))
}

/// Pairs URLs with the error code of the egress gate.
fn blocked(urls: impl IntoIterator<Item = impl Into<String>>) -> Vec<(String, &'static str)> {
    let with_code = |url: String| {
        let code = code_of(&url);
        (url, code)
    };
    urls.into_iter().map(Into::into).map(with_code).collect()
}

/// Returns the error code for a URL that leads to an internal address, or that redirects to one. A name of
/// such an address fails like a name that does not exist, unless the port is refused before the name is
/// looked up.
fn code_of(url: &str) -> &'static str {
    let target = url.rsplit("redirect?").next().unwrap_or(url);
    let authority = target.split("://").nth(1).unwrap_or(target);
    let host = authority.split('/').next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default().to_lowercase();
    let is_name = ["inside", "alias.test", "localhost", "network-"];
    if is_name.iter().any(|part| host.contains(part)) && !host.ends_with(":6379") {
        "dns_failed"
    } else {
        "egress_blocked"
    }
}

/// Returns all URLs of forbidden addresses with a honeypot, and the address of the honeypot.
fn urls_of_honeypots() -> impl Iterator<Item = (String, IpAddr)> {
    let spelled = SPELLINGS.map(|(url, address)| (url.to_owned(), address));
    let plain = NETWORKS.map(|address| (url_of(address, 80), address));
    let named = NETWORKS.iter().enumerate().map(|(n, address)| {
        let url = format!("http://{}/", name_of_network(n));
        (url, *address)
    });
    spelled
        .into_iter()
        .chain(plain)
        .chain(named)
        .map(|(url, address)| (url, address.parse::<IpAddr>().unwrap().to_canonical()))
}

/// Proves the assumption of the other tests: without the gate, these URLs reach the honeypots.
#[tokio::test]
async fn without_the_gate_every_url_reaches_its_honeypot() {
    closed_network::run(async {
        let [connect, response] = SHORT_TIMEOUTS;
        // Metadata services of clouds have to be listed individually.
        let alone = urls_of_honeypots().map(|(_, address)| IpNet::from(address).to_string());
        let open: Vec<_> = ["0.0.0.0/0".to_owned(), "::/0".to_owned()]
            .into_iter()
            .chain(alone)
            .collect();
        let open = open.join(",");
        let open = ("MEDIA_EGRESS_ALLOW", open.as_str());
        let fixture = Fixture::start(&[open, connect, response]).await;
        let imports = urls_of_honeypots().map(|(url, address)| {
            let fixture = &fixture;
            async move {
                let job = fixture.import(&url).await;
                assert_eq!(job["attributes"]["status"], "failed", "{url}: {job}");
                address
            }
        });
        let mut expected = futures_util::future::join_all(imports).await;
        let dialled = fixture.honeypots.dialled();
        let mut dialled: Vec<_> = dialled.iter().map(SocketAddr::ip).collect();
        expected.sort_unstable();
        dialled.sort_unstable();
        assert_eq!(dialled, expected);
    })
    .await;
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_dialled() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        fixture
            .all_refused(&blocked(SPELLINGS.map(|(url, _)| url)))
            .await;
    })
    .await;
}

#[tokio::test]
async fn no_internal_network_is_dialled() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        for port in [80, 6379] {
            let all = NETWORKS.iter().chain(&BEYOND_HONEYPOTS);
            let urls = all.map(|address| url_of(address, port));
            fixture.all_refused(&blocked(urls)).await;
        }
        // Public addresses with ports that are not allowed.
        let ports = [22, 5432, 6379].map(|port| url_of(PUBLIC_V4, port));
        fixture.all_refused(&blocked(ports)).await;
    })
    .await;
}

#[tokio::test]
async fn urls_other_than_http_are_refused() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        for url in [
            "file:///etc/passwd",
            "gopher://127.0.0.1:6379/_FLUSHALL",
            "ftp://127.0.0.1:80/",
            "unix:/run/docker.sock",
            "data:text/plain,inside",
            "//127.0.0.1/",
            "127.0.0.1",
            "http://127.0.0.256/",
            "http://4294967296/",
            "http://127.0.0.1:99999/",
            "http://[::1/",
            "http://[fe80::1%25lo]/",
            "http://127.0.0.1\t/",
            "http://127.0.0.1 /",
            "http://127.0.0.1%00.public.test/",
            "http://public.test\r\n@127.0.0.1/",
        ] {
            let arguments = json!({ "url": url, "resource": unique("egress") });
            let document = import(&arguments, json!({}));
            let answer = fixture.service.post("/jobs", &document).await;
            assert_eq!(answer.status(), 422, "{url:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn urls_that_only_resemble_forbidden_ones_are_imported() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        for url in LOOKALIKE_URLS {
            assert!(
                fixture.imported(url).await.starts_with("GET /echo"),
                "{url}"
            );
        }
        let hints = fixture
            .imported("http://public.test/hints?http://10.0.0.5/")
            .await;
        assert_eq!(hints, "body");
        // Follows no alternative that the previous response has named.
        fixture.imported("http://public.test/echo").await;
    })
    .await;
}

#[tokio::test]
async fn a_proxy_from_the_environment_is_not_used() {
    closed_network::run(async {
        let proxies = [
            ("HTTP_PROXY", "http://10.0.0.5:8080"),
            ("http_proxy", "http://10.0.0.5:8080"),
            ("HTTPS_PROXY", "http://10.0.0.5:8080"),
            ("https_proxy", "http://10.0.0.5:8080"),
            ("ALL_PROXY", "socks5://10.0.0.5:8080"),
            ("all_proxy", "socks5://10.0.0.5:8080"),
        ];
        let fixture = Fixture::start(&proxies).await;
        for url in [
            "http://public.test/echo",
            "https://public.test/echo",
            "http://public-v6.test/echo",
        ] {
            assert!(
                fixture.imported(url).await.starts_with("GET /echo"),
                "{url}"
            );
        }
        let urls = [
            "http://127.0.0.1/",
            "https://127.0.0.1/",
            "http://inside.test/",
        ];
        fixture.all_refused(&blocked(urls)).await;
    })
    .await;
}

#[tokio::test]
async fn only_listed_networks_are_dialled_beside_the_public_internet() {
    closed_network::run(async {
        let [connect, response] = SHORT_TIMEOUTS;
        let listed = ("MEDIA_EGRESS_ALLOW", "127.0.0.1/32");
        let fixture = Fixture::start(&[listed, connect, response]).await;
        fixture.imported("http://public.test/echo").await;
        fixture.honeypots.assert_untouched();
        for (url, port) in [
            ("http://127.0.0.1/", 80),
            ("http://127.0.0.1:6379/", 6379),
            ("http://[::ffff:127.0.0.1]/", 80),
            ("http://localhost/", 80),
            ("http://public.test/redirect?http://127.0.0.1:9200/", 9200),
        ] {
            let job = fixture.import(url).await;
            assert_eq!(
                job["attributes"]["error"], "response_timeout",
                "{url}: {job}"
            );
            assert_eq!(
                fixture.honeypots.dialled(),
                [at("127.0.0.1", port)],
                "{url}"
            );
        }
        let urls = [
            "http://127.0.0.2/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://inside.test/",
            "http://public.test/redirect?http://10.0.0.5/",
        ];
        fixture.all_refused(&blocked(urls)).await;
    })
    .await;
}
