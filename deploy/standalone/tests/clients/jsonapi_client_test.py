"""Uses the service through jsonapi-client, unmodified and without a schema:

python jsonapi_client_test.py BASE_URL ORIGIN_URL COUNT [RESOURCE]

Pages through all medias of RESOURCE, which must be COUNT; without RESOURCE it imports them first.
"""

import sys
import time

from jsonapi_client import Filter, Inclusion, Modifier, Session
from jsonapi_client.exceptions import DocumentError

base, origin, count = sys.argv[1].rstrip("/"), sys.argv[2].rstrip("/"), int(sys.argv[3])
asked_resource = sys.argv[4] if len(sys.argv) > 4 else None
own = f"jsonapi-client-{time.time_ns()}"

# No proxy from the environment: both ends are on this machine.
options = {"timeout": 30, "proxies": {"http": None, "https": None, "no_proxy": "*"}}


def check(holds, what):
    if not holds:
        raise SystemExit(f"jsonapi-client: {what}")


def session():
    # Each session has a cache, which would hide changes.
    return Session(base, request_kwargs=dict(options))


def enter(within, resource, key):
    # `commit` uses the type as the path; here they differ.
    job = within.create("media:jobs")
    job["job_class"] = "media:import"
    job["arguments"] = {"url": f"{origin}/file", "resource": resource, "key": key}
    job.commit(f"{base}/jobs")
    return job


def follow(job):
    until = time.monotonic() + 60
    while job["status"] not in ("succeeded", "failed", "cancelled"):
        check(time.monotonic() < until, f"{job.id} did not end")
        time.sleep(0.05)
        job.session.documents_by_link.clear()
        job.refresh()
    check(job["status"] == "succeeded", f"{job.id}: {job['error_detail']}")


def rejected(status, fetch):
    try:
        fetch()
    except DocumentError as error:
        check(error.errors["status_code"] == status, f"not {status} but {error}")
    else:
        check(False, f"not {status} but accepted")


# Create, and follow until succeeded.
with session() as s:
    jobs = [enter(s, own, key) for key in "abc"]
    for job in jobs:
        check(job.type == "media:jobs" and job["progress"] is not None, "not a job")
        follow(job)
    ids = [job.id for job in jobs]
    first = jobs[0]["created_at"]
check(len(set(ids)) == 3, "the ids are not distinct")

# List: filtered by status, sorted, a page at a time.
with session() as s:
    query = Filter(status="succeeded") + Modifier(
        f"filter[created_at__gte]={first}&sort=-created_at&page[size]=2&count=true"
    )
    document = s.get("jobs", query)
    check(len(document.resources) == 2, "not a page of 2")
    check(document.meta["count"] >= 3, f"a count of {document.meta['count']}")
    listed = list(document.iterator())
    check(len(listed) >= 3, f"only {len(listed)} jobs")
    check(len({job.id for job in listed}) == len(listed), "a job is listed twice")
    check(all(job["status"] == "succeeded" for job in listed), "the filter does not hold")
    times = [job["created_at"] for job in listed]
    check(times == sorted(times, reverse=True), "the sort order does not hold")
    check([job.id for job in listed if job.id in ids] == ids[::-1], "not the jobs entered")

# A job with the media it made.
with session() as s:
    document = s.get("jobs/" + ids[0], Inclusion("media"))
    check(len(document.included) == 1, "the media is not included")
    media = document.resource.media
    check(media.type == "media:medias", f"a {media.type} instead of a media")
    check((media["resource"], media["key"]) == (own, "a"), "not the media imported")
    size = media["size"]
    record = s.get(f"medias/info/{own}/a").resource
    check(record.id == media.id, "the record is another's")

# Medias with sparse fields.
with session() as s:
    query = Filter(resource=own) + Modifier("sort=-key&fields[media:medias]=key,size")
    found = s.get("medias", query).resources
    check([(m["key"], m["size"]) for m in found] == [(k, size) for k in "cba"], "not the medias")
    check(all(set(m.json["attributes"]) == {"key", "size"} for m in found), "fields not asked for")

# All medias of a resource, by following `next`.
resource = asked_resource or own + "-pages"
if asked_resource is None:
    with session() as s:
        jobs = [enter(s, resource, str(n)) for n in range(count)]
        for job in jobs:
            follow(job)
with session() as s:
    page = max(1, min(1000, count // 4))
    query = Filter(resource=resource) + Modifier(f"page[size]={page}")
    medias = list(s.iterate("medias", query))
    pages = len(s.documents_by_link)
check(all(media["resource"] == resource for media in medias), "medias of another resource")
check(len(medias) == count, f"{len(medias)} medias instead of {count}")
check(len({media.id for media in medias}) == count, "a media is listed twice")
check(pages >= -(-count // page), f"{count} medias in {pages} pages of {page}")

# Errors come as the client expects them.
with session() as s:
    rejected(404, lambda: s.get("jobs", "01a209d3-ac64-703f-91dc-9affcb76ba68"))
    rejected(400, lambda: s.get("jobs", Modifier("sort=nonsense")))

print(f"jsonapi-client: {len(listed)} jobs listed, {count} medias in {pages} pages")
