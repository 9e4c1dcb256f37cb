//! `/medias`: one file per operation. The plural `medias` is used only on the wire.

use std::sync::Arc;

use media_shared::{config::Config, services::Services};

mod delete;
pub(crate) mod disposition;
mod download;
pub(crate) mod find;
pub(crate) mod headers;
mod list;
pub(crate) mod parameters;
mod precondition;
mod resource;
mod show;
mod upload;

use crate::links::{
    create::{CreateLink, LinkCreator},
    redeem::LinkVerifier,
    signed_link::LinkSigner,
};
use delete::DeleteMedia;
use download::DownloadMedia;
#[cfg(feature = "fuzzing")]
pub(crate) use download::conditions::range_of;
use list::ListMedia;
pub(crate) use resource::MediaResource;
use show::ShowMedia;
use upload::{UploadMedia, receive::UploadReceiver};

/// The operations on media.
pub(crate) type MediaOperations = (
    ListMedia,
    ShowMedia,
    DownloadMedia,
    UploadMedia,
    CreateLink,
    DeleteMedia,
);

/// Creates the operations.
pub(crate) fn operations(services: &Arc<Services>, config: &Config) -> MediaOperations {
    let services = || Arc::clone(services);
    let signer = config.link_keys.as_ref().map(LinkSigner::new);
    let links = Arc::new(LinkCreator {
        services: services(),
        signer: signer.clone(),
        public_url: config.public_url.clone(),
    });
    (
        ListMedia {
            services: services(),
        },
        ShowMedia {
            services: services(),
        },
        DownloadMedia {
            services: services(),
            links: LinkVerifier { signer },
            redirect: config.download_redirect,
            inline_pdf: config.http.inline_pdf,
        },
        UploadMedia {
            receiver: UploadReceiver {
                services: services(),
                max_bytes: config.max_bytes.as_u64(),
                stall: config.worker.limits.stall,
            },
            services: services(),
            links: Arc::clone(&links),
        },
        CreateLink { links },
        DeleteMedia {
            services: services(),
        },
    )
}
