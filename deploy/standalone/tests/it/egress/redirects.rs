//! Redirects from public origins to forbidden addresses.

use media_testkit::closed_network::{self, PUBLIC_V6};

use super::{blocked, fixture::Fixture};

/// Returns a URL of the public origin that redirects to another URL.
fn redirect_to(url: &str) -> String {
    format!("http://public.test/redirect?{url}")
}

#[tokio::test]
async fn no_redirect_leads_to_an_internal_address() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        let statuses = [301, 302, 303, 307, 308]
            .map(|status| format!("http://public.test/redirect/{status}?http://10.0.0.5/"));
        fixture.all_refused(&blocked(statuses)).await;

        let targets = [
            "http://127.0.0.1/",
            "http://127.0.0.1:6379/",
            "https://169.254.169.254/latest/meta-data/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.5]/",
            "http://[fd00:ec2::254]/",
            "http://0x7f000001/",
            "http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/",
            "http://public.test@10.0.0.5/",
            "http://10.0.0.5\\@public.test/",
            "http://inside.test/",
            "http://inside-v6.test/",
            "http://alias.test/",
            "http://localhost:8080/",
            "http://public.test:6379/",
            // Relative references that change the host.
            "//10.0.0.5/",
            "/\\10.0.0.5/",
            "\\\\10.0.0.5\\",
            "https:10.0.0.5/",
            // Redirects by way of another host.
            "http://other.test/redirect?http://10.0.0.5/",
            "http://public-v6.test/redirect?http://10.0.0.5/",
            "https://public.test/redirect?https://10.0.0.5/",
        ];
        fixture
            .all_refused(&blocked(targets.map(redirect_to)))
            .await;
        let from_v6 = format!("http://[{PUBLIC_V6}]/redirect?http://127.0.0.1/");
        fixture.all_refused(&blocked([from_v6])).await;
    })
    .await;
}

#[tokio::test]
async fn at_most_ten_redirects_are_followed() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        let cases = [
            (
                "http://public.test/hops/9?http://10.0.0.5/",
                "egress_blocked",
            ),
            (
                "http://public.test/hops/10?http://10.0.0.5/",
                "bad_redirect",
            ),
            ("http://public.test/loop", "bad_redirect"),
        ];
        fixture
            .all_refused(&cases.map(|(url, code)| (url.to_owned(), code)))
            .await;
        fixture.imported("http://public.test/hops/9?/echo").await;
    })
    .await;
}

#[tokio::test]
async fn no_redirect_leads_to_another_protocol_or_an_invalid_url() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        let cases = [
            ("file:///etc/passwd", "unsupported_scheme"),
            ("FILE:/etc/passwd", "unsupported_scheme"),
            ("file://10.0.0.5/share", "unsupported_scheme"),
            ("gopher://127.0.0.1:6379/_FLUSHALL", "unsupported_scheme"),
            ("ftp://127.0.0.1:80/", "unsupported_scheme"),
            ("dict://127.0.0.1:6379/info", "unsupported_scheme"),
            ("ldap://127.0.0.1:80/", "unsupported_scheme"),
            ("ws://127.0.0.1/", "unsupported_scheme"),
            ("unix:/run/docker.sock", "unsupported_scheme"),
            ("data:text/plain,inside", "unsupported_scheme"),
            ("javascript:alert(1)", "unsupported_scheme"),
            ("///10.0.0.5/", "bad_redirect"),
            ("http://127.0.0.1:99999/", "bad_redirect"),
            ("http://[::1/", "bad_redirect"),
            ("http://127.0.0.256/", "bad_redirect"),
            ("http://[fe80::1%25lo]/", "bad_redirect"),
            (
                "https://public.test/redirect?http://public.test/echo",
                "bad_redirect",
            ),
            (
                "https://public.test/redirect?http://10.0.0.5/",
                "bad_redirect",
            ),
        ];
        let cases = cases.map(|(target, code)| (redirect_to(target), code));
        fixture.all_refused(&cases).await;
    })
    .await;
}
