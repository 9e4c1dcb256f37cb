//! Tests that the operators of filters select the same rows on both databases.

use media_database::media_repository::NewMedia;
use media_domain::{
    blob::BlobOwner,
    media::{ClientMeta, Filename},
    permissions::ReadScope,
};
use media_testkit::repositories::{Repositories, new_media, path};
use poem::Request;

use super::list_query::ListQuery;
use crate::media::MediaResource;

#[tokio::test]
async fn operators_select_the_same_media() {
    for test in [
        media_testkit::databases::postgres().await,
        media_testkit::databases::sqlite().await,
    ] {
        let repositories = Repositories::open(&test.database);
        for (resource, filename, meta) in [
            (
                "a",
                "a_b.txt",
                Some(serde_json::json!({ "c": "red", "n": 5, "on": true })),
            ),
            (
                "b",
                "aXb.txt",
                Some(serde_json::json!({ "c": "r\"\n/é", "n": 1.5, "on": false })),
            ),
            ("c", "É!%.txt", None),
        ] {
            let blob = repositories.blobs.stage(BlobOwner::Upload, None).await;
            let new = NewMedia {
                filename: Filename::new(filename).unwrap(),
                meta: meta.map(|meta| ClientMeta::new(meta).unwrap()),
                ..new_media(path(resource), blob.unwrap().id)
            };
            repositories.medias.publish(new).await.unwrap();
        }
        for (query, expected) in [
            ("filter[filename__match]=XB", "b"),
            ("filter[filename__match]=_B", "a"),
            ("filter[filename__match]=!%25", "c"),
            ("filter[filename__match]=%C3%89", "c"),
            ("filter[filename__prefix]=a_", "a"),
            ("filter[filename__prefix]=%C3%89", "c"),
            ("filter[filename__neq]=a_b.txt", "b c"),
            (
                "filter[filename][]=a_b.txt&filter[filename][]=aXb.txt",
                "a b",
            ),
            ("filter[source_url__exists]=false", "a b c"),
            ("filter[source_url__neq]=x", "a b c"),
            ("filter[metadata__exists]=true", "a b c"),
            ("filter[meta__exists]=true", "a b"),
            ("filter[meta.c]=red", "a"),
            ("filter[meta.c]=r%22%0A/%C3%A9", "b"),
            ("filter[meta.n]=5", "a"),
            ("filter[meta.n]=1.5", "b"),
            ("filter[meta.on]=true", "a"),
            ("filter[meta.1]=true", ""),
            ("sort=filename", "b a c"),
            ("sort=-filename", "c a b"),
        ] {
            let uri = format!("/medias?{query}");
            let request = Request::builder().uri(uri.parse().unwrap()).finish();
            let list = ListQuery::<MediaResource>::from_request(&request).unwrap();
            let request = list.request(&ReadScope::All).unwrap();
            let page = repositories.medias.list(request).await.unwrap();
            let found: Vec<&str> = page
                .items
                .iter()
                .map(|media| media.resource.as_str())
                .collect();
            assert_eq!(
                found.join(" "),
                expected,
                "{query} on {:?}",
                test.database.backend()
            );
        }
    }
}
