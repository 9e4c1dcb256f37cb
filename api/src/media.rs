//! `/medias`: one file per operation. The plural `medias` is used only on the wire.

use std::sync::Arc;

use media_services::{Services, config::Config};

mod delete;
pub(crate) mod disposition;
mod download;
mod fields;
pub(crate) mod find;
pub(crate) mod headers;
mod list;
pub(crate) mod parameters;
mod precondition;
mod put;
mod read_condition;
mod show;
mod update;
mod upload;

use crate::{
    links::{create::CreateLink, redeem::LinkVerifier, signed_link::LinkSigner},
    operation_group::operations,
};
use delete::DeleteMedia;
use download::DownloadMedia;
#[cfg(feature = "fuzzing")]
pub(crate) use download::conditions::range_of;
pub(crate) use fields::MediaResource;
use list::ListMedia;
use put::PutMedia;
use show::ShowMedia;
use update::UpdateMedia;
use upload::{UploadMedia, Uploads, receive::UploadReceiver};

operations! {
    /// The operations on media.
    MediaOperations {
        list: ListMedia,
        show: ShowMedia,
        update: UpdateMedia,
        download: DownloadMedia,
        upload: UploadMedia,
        put: PutMedia,
        link: CreateLink,
        delete: DeleteMedia,
    }
}

/// Creates the operations.
pub(crate) fn operations(services: &Arc<Services>, config: &Config) -> MediaOperations {
    let services = || Arc::clone(services);
    let signer = config.link_keys.as_ref().map(LinkSigner::new);
    let links = || LinkVerifier {
        signer: signer.clone(),
    };
    let uploads = Arc::new(Uploads {
        receiver: UploadReceiver {
            services: services(),
            max_bytes: config.max_bytes.as_u64(),
            stall: config.worker.limits.stall,
        },
        services: services(),
        links: links(),
    });
    MediaOperations {
        list: ListMedia {
            services: services(),
        },
        show: ShowMedia {
            services: services(),
        },
        update: UpdateMedia {
            services: services(),
        },
        download: DownloadMedia {
            services: services(),
            links: links(),
            redirect: config.download_redirect,
            inline_pdf: config.http.inline_pdf,
            public_max_age: config.http.public_max_age,
        },
        upload: UploadMedia {
            uploads: Arc::clone(&uploads),
        },
        put: PutMedia { uploads },
        link: CreateLink {
            services: services(),
            public_url: config.public_url.clone(),
            signer,
        },
        delete: DeleteMedia {
            services: services(),
        },
    }
}
