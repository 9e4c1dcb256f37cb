"""Uses a client that openapi-python-client has generated from the document.

Usage: generated_client_test.py DIRECTORY BASE ORIGIN, where DIRECTORY has the package `generated`.
"""

import sys
import time
from io import BytesIO
from uuid import UUID

sys.path.insert(0, sys.argv[1])

from generated import Client  # noqa: E402
from generated.api.jobs import create_job, show_job  # noqa: E402
from generated.api.links import create_link  # noqa: E402
from generated.api.medias import download_media_by_key, list_medias, upload_media_by_key  # noqa: E402
from generated.models import NewJobDocument, NewLinkDocument, UploadMediaByKeyBody  # noqa: E402
from generated.types import File  # noqa: E402

base, origin = sys.argv[2:4]
client = Client(base_url=base)

new = NewJobDocument.from_dict(
    {
        "data": {
            "type": "media:jobs",
            "attributes": {
                "job_class": "media:import",
                "arguments": {"url": f"{origin}/file", "resource": "generated", "key": "imported"},
            },
        }
    }
)
created = create_job.sync_detailed(client=client, body=new)
assert created.status_code == 201, created
job = created.parsed.data
for _ in range(200):
    shown = show_job.sync_detailed(UUID(str(job.id)), client=client)
    if str(shown.parsed.data.attributes.status) in ("succeeded", "failed"):
        break
    time.sleep(0.05)
assert str(shown.parsed.data.attributes.status) == "succeeded", shown

form = UploadMediaByKeyBody(media=File(payload=BytesIO(b"some text"), file_name="a.txt", mime_type="text/plain"), public=True)
uploaded = upload_media_by_key.sync_detailed("generated", "uploaded", client=client, body=form)
assert uploaded.status_code == 201, uploaded
assert uploaded.parsed.data.attributes.public is True, uploaded

listed = list_medias.sync_detailed(client=client, filterresource="generated", filterpublic=True, count=True)
assert listed.status_code == 200, listed
assert [media.attributes.key for media in listed.parsed.data] == ["uploaded"], listed

downloaded = download_media_by_key.sync_detailed("generated", "uploaded", client=client)
assert downloaded.status_code == 200 and downloaded.parsed.payload.read() == b"some text", downloaded

link = NewLinkDocument.from_dict(
    {"data": {"type": "media:links", "attributes": {"resource": "generated", "key": "uploaded", "expires_in": 60}}}
)
linked = create_link.sync_detailed(client=client, body=link)
assert linked.status_code == 201, linked
answer = client.get_httpx_client().get(linked.parsed.data.attributes.url)
assert answer.status_code == 200 and answer.content == b"some text", answer
