-- The schema of version 0.1.0, in PostgreSQL's types. Every index pays for itself with the reason above it: each write
-- of its table pays for it.
--
-- Columns that lists search have the collation of bytes, so that their indexes serve ranges in databases of
-- every locale, and both databases sort alike.

CREATE TABLE jobs (
    id uuid NOT NULL PRIMARY KEY,
    job_class text COLLATE "C" NOT NULL,
    priority smallint NOT NULL CHECK (priority BETWEEN -100 AND 100),
    status text NOT NULL
        CHECK (status IN ('scheduled','pending','running','paused','succeeded','failed','cancelled')),
    progress smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    bytes_done bigint NOT NULL DEFAULT 0,
    bytes_total bigint,
    retry_count integer NOT NULL DEFAULT 0,
    max_retries integer NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    error text,
    error_detail text,
    unicity text COLLATE "C",
    scheduled_at timestamp with time zone,
    arguments_version smallint NOT NULL,
    arguments jsonb NOT NULL,
    signal text,
    worker_id uuid,
    lease_until timestamp with time zone,
    media_id uuid,
    created_by text,
    created_role text CHECK (created_role IN ('admin','service','user')),
    project_id text,
    trace_parent text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    -- A running job has a lease, a scheduled one a time, an ended one an end.
    CHECK ((status = 'running') = (lease_until IS NOT NULL)),
    CHECK ((status = 'running') = (worker_id IS NOT NULL)),
    CHECK (status <> 'scheduled' OR scheduled_at IS NOT NULL),
    CHECK ((status IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL))
);

CREATE TABLE medias (
    id uuid NOT NULL PRIMARY KEY,
    resource text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    filename text COLLATE "C" NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    mime_type text COLLATE "C" NOT NULL,
    charset text,
    sha256 text NOT NULL CHECK (length(sha256) = 64),
    metadata jsonb,
    public boolean NOT NULL DEFAULT FALSE,
    public_since timestamp with time zone,
    created_by text,
    created_role text CHECK (created_role IN ('admin','service','user')),
    project_id text,
    source_url text COLLATE "C",
    -- The validators of the origin, by which an import asks whether its bytes have changed.
    origin jsonb,
    -- The client's own data.
    meta jsonb,
    -- From then on the media is gone for readers.
    expires_at timestamp with time zone,
    blob_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);

CREATE TABLE blobs (
    id uuid NOT NULL PRIMARY KEY,
    storage_key text NOT NULL,
    status text NOT NULL CHECK (status IN ('staged','live','garbage')),
    job_id uuid,
    attempt integer,
    expires_at timestamp with time zone,
    collect_after timestamp with time zone,
    checkpoint jsonb,
    project_id text,
    -- The bytes that count for the project while the blob is staged or live.
    charged bigint NOT NULL DEFAULT 0,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CHECK ((status = 'garbage') = (collect_after IS NOT NULL)),
    CHECK ((job_id IS NULL) = (attempt IS NULL)),
    CHECK (status <> 'staged' OR job_id IS NOT NULL OR expires_at IS NOT NULL)
);

CREATE TABLE project_usage (
    project_id text NOT NULL PRIMARY KEY,
    stored_bytes bigint NOT NULL CHECK (stored_bytes >= 0)
);

-- One row for each origin in back-off.
CREATE TABLE host_backoffs (
    host text NOT NULL PRIMARY KEY,
    not_before timestamp with time zone NOT NULL
);

-- One row for each host and worker with connections to it.
CREATE TABLE host_connections (
    host text NOT NULL,
    worker_id uuid NOT NULL,
    connections integer NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    PRIMARY KEY (host, worker_id)
);

-- Claims: the pending jobs of each project, the most urgent first.
CREATE INDEX jobs_claim ON jobs ((coalesce(project_id, '')), priority DESC, id) WHERE status = 'pending';
-- Promotion: the due scheduled jobs.
CREATE INDEX jobs_due ON jobs (scheduled_at) WHERE status = 'scheduled';
-- Claims count the running jobs of a project; the rescue reads all of them, a few thousand at most. An index on the
-- lease would be written by every heartbeat.
CREATE INDEX jobs_running ON jobs ((coalesce(project_id, '')), id) WHERE status = 'running';
-- Uniqueness among the unfinished jobs of a project, so that races lose, too.
CREATE UNIQUE INDEX jobs_unicity ON jobs (unicity, (coalesce(project_id, '')))
    WHERE unicity IS NOT NULL AND status IN ('scheduled','pending','running','paused');
-- The limit of unfinished jobs of a project.
CREATE INDEX jobs_unfinished ON jobs (project_id)
    WHERE project_id IS NOT NULL AND status IN ('scheduled','pending','running','paused');
-- Retention: the jobs that ended the longest ago.
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- One media for a resource and key of each project. Two indexes, because NULL equals nothing; the project last, because
-- anonymous callers look up a path without one.
CREATE UNIQUE INDEX medias_resource_key ON medias (resource, key, (coalesce(project_id, ''))) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX medias_resource ON medias (resource, (coalesce(project_id, ''))) WHERE key IS NULL;
-- One media for a blob: two can never share bytes that the deletion of one of them would delete.
CREATE UNIQUE INDEX medias_blob ON medias (blob_id);

-- The collector: garbage, and blobs that may have been abandoned. Live blobs, nearly all of them, are in neither.
CREATE INDEX blobs_garbage ON blobs (collect_after) WHERE status = 'garbage';
CREATE INDEX blobs_staged ON blobs (id) WHERE status = 'staged';

-- Filters and orders of lists, each followed by id, the default order. None of these columns changes while a job runs,
-- so heartbeats touch no index (PostgreSQL's HOT updates). Columns that change all the time have none: such lists scan,
-- within a limit. Lists by created_at use id, which has the same order.
CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_by_job_class ON jobs (job_class, id);
CREATE INDEX jobs_by_priority ON jobs (priority, id);
CREATE INDEX jobs_by_unicity ON jobs (unicity, id) WHERE unicity IS NOT NULL;
CREATE INDEX jobs_by_scheduled_at ON jobs (scheduled_at, id) WHERE scheduled_at IS NOT NULL;
CREATE INDEX jobs_by_project_id ON jobs (project_id, id) WHERE project_id IS NOT NULL;
CREATE INDEX medias_by_resource ON medias (resource, id);
CREATE INDEX medias_by_key ON medias (key, id) WHERE key IS NOT NULL;
CREATE INDEX medias_by_filename ON medias (filename, id);
CREATE INDEX medias_by_mime_type ON medias (mime_type, id);
CREATE INDEX medias_by_public ON medias (public, id);
CREATE INDEX medias_by_created_by ON medias (created_by, id) WHERE created_by IS NOT NULL;
-- Copies of the same bytes.
CREATE INDEX medias_by_sha256 ON medias (sha256, id);
-- The collection of expired media, and lists of those that expire soon. Most media never expire.
CREATE INDEX medias_by_expires_at ON medias (expires_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX medias_by_project_id ON medias (project_id, id) WHERE project_id IS NOT NULL;
