//! Host names that resolve to forbidden addresses.

use media_testkit::closed_network::{self, UNREACHABLE_V4};

use super::{
    addresses::NETWORKS,
    blocked,
    fixture::{Fixture, name_of_network},
};

#[tokio::test]
async fn no_name_of_a_forbidden_address_is_dialled_and_no_address_is_revealed() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        let urls = (0..NETWORKS.len()).map(|n| format!("http://{}/", name_of_network(n)));
        let details = fixture.all_refused(&blocked(urls)).await;
        for (detail, address) in details.iter().zip(NETWORKS) {
            assert!(!detail.contains(address), "{detail}");
        }
        let urls = [
            "https://inside.test/",
            "http://inside.test:8080/",
            "http://inside.test:6379/",
            "http://INSIDE.test./",
            "http://user:password@inside.test/",
            "http://inside-v6.test/",
            "http://inside-both.test/",
            "http://alias.test/",
            "http://long-alias.test/",
            "http://localhost/",
            "http://LocalHost./",
            "http://localhost:8080/",
            "http://app.localhost/",
            "http://public.test:6379/",
        ];
        fixture.all_refused(&blocked(urls)).await;
    })
    .await;
}

#[tokio::test]
async fn only_the_public_address_of_a_mixed_name_is_dialled() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        for name in [
            "inside-first",
            "inside-last",
            "inside-in-v6",
            "inside-in-v4",
        ] {
            let seen = fixture.imported(&format!("http://{name}.test/echo")).await;
            assert!(seen.contains(&format!("{name}.test")), "{seen}");
        }
        // Not even if the public address is unreachable.
        for name in ["unreachable", "inside-or-unreachable"] {
            let job = fixture.import(&format!("http://{name}.test/")).await;
            assert_eq!(job["attributes"]["error"], "connect_failed", "{job}");
            let detail = job["attributes"]["error_detail"].as_str().unwrap();
            for address in [UNREACHABLE_V4, "10.0.0.5", "fd00:ec2::254"] {
                assert!(!detail.contains(address), "{detail}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_rebinding_name_is_looked_up_once_per_connection() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        // The checked address is the dialled one: there is no second lookup in between.
        fixture.imported("http://turns-inward.test/echo").await;
        assert_eq!(fixture.names.lookups("turns-inward.test"), 1);
        let url = "http://turns-inward.test/echo";
        fixture.refused(url, "dns_failed").await;
        assert_eq!(fixture.names.lookups("turns-inward.test"), 2);

        let url = "http://turns-inward-on-redirect.test/hops/1?/echo";
        fixture.refused(url, "dns_failed").await;

        let url = "http://turns-outward.test/echo";
        fixture.refused(url, "dns_failed").await;
        fixture.imported(url).await;
    })
    .await;
}
