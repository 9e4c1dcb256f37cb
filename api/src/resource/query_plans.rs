//! Tests the number of rows that PostgreSQL reads for common lists of a large table, from the query string to the plan.

use media_database::{entities::job, pagination};
use media_domain::{ids::JobId, permissions::ReadScope};
use poem::Request;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, QueryTrait as _, Statement,
};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Resource, list_query::ListQuery};
use crate::{jobs::JobResource, media::MediaResource};

/// The number of rows in each table.
const ROWS: u64 = 200_000;
/// The most rows that a list of a thousand may read.
const MAX_READ: f64 = 10_000.0;

/// The identifier of a row, which contains its time: a second later than that of the row before it.
fn id_of(row: u64) -> Uuid {
    let text = format!("{:012x}70008000{row:012x}", 1_767_225_600_000 + row * 1000);
    text.parse().unwrap()
}

/// Jobs of 200 projects; in each column, one job in a hundred has a rare value.
const JOBS: &str = "
INSERT INTO jobs (id, job_class, priority, status, max_retries, unicity, scheduled_at,
    arguments_version, arguments, project_id, created_at, updated_at, finished_at)
SELECT (lpad(to_hex(1767225600000 + n * 1000), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
    CASE WHEN n % 100 = 1 THEN 'media:rare' ELSE 'media:import' END,
    CASE WHEN n % 100 = 2 THEN 50 ELSE 0 END,
    CASE WHEN n % 100 = 3 THEN 'failed' WHEN n % 100 = 4 THEN 'scheduled' ELSE 'succeeded' END,
    5,
    CASE WHEN n % 100 = 5 THEN 'unicity ' || n END,
    CASE WHEN n % 100 = 4 THEN timestamptz '2030-01-01' + n * interval '1 minute' END,
    1, '{}', 'project ' || n % 200,
    timestamptz '2026-01-01' + n * interval '1 second', now(),
    CASE WHEN n % 100 = 4 THEN NULL ELSE now() END
FROM generate_series(1, 200000) n";
const MEDIAS: &str = "
INSERT INTO medias (id, resource, key, filename, size, mime_type, sha256, public, created_by,
    project_id, blob_id, created_at, updated_at)
SELECT (lpad(to_hex(1767225600000 + n * 1000), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
    'resource ' || n / 100, 'key ' || n, 'file ' || n, n,
    CASE WHEN n % 100 = 1 THEN 'image/rare' ELSE 'image/png' END, repeat('0', 64), n % 100 = 2,
    'user ' || n % 500, 'project ' || n % 200, gen_random_uuid(),
    timestamptz '2026-01-01' + n * interval '1 second', now()
FROM generate_series(1, 200000) n";

/// The rows that a plan reads from tables, including discarded ones.
fn rows_read(plan: &Json) -> f64 {
    let number = |name: &str| plan[name].as_f64().unwrap_or_default();
    let loops = number("Actual Loops").max(1.0);
    let own = if plan["Node Type"]
        .as_str()
        .is_some_and(|node| node.contains("Scan"))
    {
        (number("Actual Rows") + number("Rows Removed by Filter")) * loops
    } else {
        0.0
    };
    let below = plan["Plans"].as_array().into_iter().flatten();
    own + below.map(rows_read).sum::<f64>()
}

async fn explain<R: Resource>(
    database: &DatabaseConnection,
    query: &str,
    scope: &ReadScope,
) -> Json {
    let uri = format!("{}?{query}", R::PATH);
    let request = Request::builder().uri(uri.parse().unwrap()).finish();
    let request = ListQuery::<R>::from_request(&request)
        .unwrap()
        .request(scope);
    let mut statement: Statement =
        pagination::select::<R::Entity>(DbBackend::Postgres, &request.unwrap())
            .build(DbBackend::Postgres);
    statement.sql = format!("EXPLAIN (ANALYZE, FORMAT JSON) {}", statement.sql);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get::<Json>("", "QUERY PLAN").unwrap()[0]["Plan"].clone()
}

async fn check<R: Resource>(database: &DatabaseConnection, queries: &[&str]) {
    let projects = |numbers: &[u8]| {
        ReadScope::Projects(numbers.iter().map(|n| format!("project {n}")).collect())
    };
    for query in queries {
        for scope in [ReadScope::All, projects(&[7]), projects(&[7, 8, 9])] {
            let plan = explain::<R>(database, query, &scope).await;
            let read = rows_read(&plan);
            assert!(
                read <= MAX_READ,
                "{}?{query} within {scope:?} reads {read} of {ROWS} rows: {plan:#}",
                R::PATH
            );
        }
    }
}

#[tokio::test]
async fn common_lists_do_not_read_whole_tables() {
    let test = media_testkit::databases::postgres().await;
    let database = &test.database.direct_connection().await.unwrap();
    for sql in [JOBS, MEDIAS, "ANALYZE"] {
        database.execute_unprepared(sql).await.unwrap();
    }
    let middle = id_of(ROWS / 2);
    check::<JobResource>(
        database,
        &[
            "",
            "page[size]=10",
            &format!("filter[id]={middle}"),
            "filter[status]=failed",
            "filter[status]=succeeded",
            "filter[status__in]=pending,running",
            "filter[job_class]=media:rare",
            "filter[job_class]=media:import",
            "filter[priority]=50",
            "filter[priority__gte]=10",
            "filter[unicity]=unicity 105",
            "filter[scheduled_at__gte]=2030-05-18T00:00:00Z",
            "filter[scheduled_at__lte]=2030-01-02T00:00:00Z",
            "filter[created_at__gte]=2026-01-03T07:00:00Z",
            "filter[created_at__lte]=2026-01-01T00:30:00Z",
            "sort=-created_at",
            "sort=-priority",
            "filter[status]=failed&filter[created_at__gte]=2026-01-03T07:00:00Z",
        ]
        .map(|query| query.replace(' ', "%20"))
        .each_ref()
        .map(String::as_str),
    )
    .await;
    check::<MediaResource>(
        database,
        &[
            "",
            "filter[resource]=resource%207",
            "filter[key]=key%20777",
            "filter[resource]=resource%207&filter[key]=key%20777",
            "filter[filename]=file%20777",
            "filter[mime_type]=image/rare",
            "filter[mime_type]=image/png",
            "filter[created_by]=user%207",
            "filter[public]=true",
            "filter[public]=false",
            "filter[project_id]=project%207",
            "filter[created_at__gte]=2026-01-03T07:00:00Z",
            "sort=-created_at",
            "filter[sha256]=0",
            "filter[expires_at__lte]=2026-01-02T00:00:00Z",
            "count=true",
        ],
    )
    .await;
}

/// Lists by prefix, with the indexes that SQLite reads for them.
const PREFIXES: [(&str, &str); 10] = [
    ("filter[filename__prefix]=file%20777", "medias_by_filename"),
    ("filter[filename__prefix]=file%201999", "medias_by_filename"),
    ("filter[filename__prefix]=none", "medias_by_filename"),
    (
        "filter[filename__prefix]=file%20777&sort=filename",
        "medias_by_filename",
    ),
    ("filter[key__prefix]=key%201999", "medias_by_key"),
    (
        "filter[resource__prefix]=resource%20199",
        "medias_by_resource",
    ),
    ("filter[mime_type__prefix]=image/r", "medias_by_mime_type"),
    (
        "filter[resource]=resource%207&filter[key__prefix]=key%2077",
        "medias_resource_key",
    ),
    (
        "filter[created_by]=user%207&filter[filename__prefix]=file%20777",
        "",
    ),
    (
        "filter[project_id]=project%207&filter[filename__prefix]=file%20777",
        "",
    ),
];

#[tokio::test]
async fn a_prefix_reads_a_range_of_an_index() {
    let test = media_testkit::databases::postgres().await;
    let database = &test.database.direct_connection().await.unwrap();
    // The last half has no project but one, so that the order of the list meets the range at its end.
    let sql = "UPDATE medias SET project_id = 'project 7' WHERE id >= \
               (SELECT id FROM medias ORDER BY id OFFSET 100000 LIMIT 1)";
    for sql in [MEDIAS, sql, JOBS, "VACUUM ANALYZE"] {
        database.execute_unprepared(sql).await.unwrap();
    }
    // Whatever the locale of the database is.
    let sql = "SELECT count(*) FROM information_schema.columns WHERE collation_name = 'C' AND \
               (table_name, column_name) IN (('medias', 'resource'), ('medias', 'key'), \
                 ('medias', 'filename'), ('medias', 'mime_type'), ('medias', 'source_url'), \
                 ('jobs', 'unicity'), ('jobs', 'job_class'))";
    let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql));
    let columns: i64 = row.await.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(columns, 7);
    let queries = PREFIXES.map(|(query, _)| query);
    check::<MediaResource>(database, &queries).await;
    let jobs = [
        "filter[unicity__prefix]=unicity%201999",
        "filter[job_class__prefix]=media:r",
    ];
    check::<JobResource>(database, &jobs).await;
}

#[tokio::test]
async fn a_prefix_reads_a_range_of_an_index_on_sqlite() {
    let test = media_testkit::databases::sqlite().await;
    let database = &test.database.direct_connection().await.unwrap();
    let sql = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) \
         INSERT INTO medias (id, resource, key, filename, size, mime_type, sha256, public, \
           created_by, project_id, blob_id, created_at, updated_at) \
         SELECT unhex('01a20000000070008000' || printf('%012x', n)), 'resource ' || n / 100, \
           'key ' || n, 'file ' || n, n, CASE WHEN n % 100 = 1 THEN 'image/rare' ELSE 'image/png' END, \
           printf('%064d', n), 0, 'user ' || n % 500, 'project 7', randomblob(16), \
           '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00' FROM n"
    );
    database.execute_unprepared(&sql).await.unwrap();
    for (query, index) in PREFIXES {
        for scope in [
            ReadScope::All,
            ReadScope::Projects(vec!["project 7".to_owned()]),
            ReadScope::Projects(vec!["project 7".to_owned(), "project 8".to_owned()]),
        ] {
            let uri = format!("/medias?{query}");
            let request = Request::builder().uri(uri.parse().unwrap()).finish();
            let list = ListQuery::<MediaResource>::from_request(&request).unwrap();
            let request = list.request(&scope).unwrap();
            let mut statement = pagination::select::<media_database::entities::media::Entity>(
                DbBackend::Sqlite,
                &request,
            )
            .build(DbBackend::Sqlite);
            statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
            let rows = database.query_all_raw(statement).await.unwrap();
            let plan: Vec<String> = rows
                .iter()
                .map(|row| row.try_get("", "detail").unwrap())
                .collect();
            let plan = plan.join("; ");
            let is_range = plan.contains("<?)") && plan.contains(&format!("INDEX {index}"));
            // Projects of both the token and the query: the planner's choice.
            let is_twice = query.contains("project_id") && scope != ReadScope::All;
            assert!(
                is_range || index.is_empty() || is_twice,
                "{uri} within {scope:?}: {plan}"
            );
            assert!(!plan.contains("SCAN"), "{uri} within {scope:?}: {plan}");
        }
    }
}

#[tokio::test]
async fn the_last_page_reads_no_more_than_the_first() {
    let test = media_testkit::databases::postgres().await;
    let database = &test.database.direct_connection().await.unwrap();
    for sql in [JOBS, "ANALYZE"] {
        database.execute_unprepared(sql).await.unwrap();
    }
    // The cursor of a page near the end.
    let sorts = [
        "",
        "sort=-created_at",
        "sort=priority,created_at",
        "filter[status]=succeeded",
        "filter[status]=succeeded&sort=-created_at",
    ];
    for sort in sorts {
        let next = page_after(database, sort, id_of(ROWS - 3392)).await;
        let read = rows_read(&explain::<JobResource>(database, &next, &ReadScope::All).await);
        assert!(read <= 1500.0, "{next} reads {read}");
    }
}

/// A query for the page after a job.
async fn page_after(database: &DatabaseConnection, query: &str, last: Uuid) -> String {
    let last = job::Entity::find_by_id(JobId(last)).one(database).await;
    let uri = format!("/jobs?{query}");
    let request = Request::builder().uri(uri.parse().unwrap()).finish();
    let sort = ListQuery::<JobResource>::from_request(&request)
        .unwrap()
        .sort;
    let cursor = super::cursor::encode::<JobResource>(&sort, &last.unwrap().unwrap());
    format!("{query}&page[after]={cursor}")
}

#[tokio::test]
async fn lists_skip_rows_that_do_not_match() {
    let test = media_testkit::databases::postgres().await;
    let database = &test.database.direct_connection().await.unwrap();
    // The older half has ended, and belongs to another project than the newer half, which is pending.
    let sql = "UPDATE jobs SET status = CASE WHEN id < $1 THEN 'succeeded' ELSE 'pending' END, \
               project_id = CASE WHEN id < $1 THEN 'old' ELSE 'new' END, \
               finished_at = CASE WHEN id < $1 THEN now() END";
    let halves = Statement::from_sql_and_values(DbBackend::Postgres, sql, [id_of(ROWS / 2).into()]);
    database.execute_unprepared(JOBS).await.unwrap();
    database.execute_raw(halves).await.unwrap();
    database
        .execute_unprepared("VACUUM ANALYZE jobs")
        .await
        .unwrap();
    let old = ReadScope::Projects(vec!["old".to_owned()]);
    for (query, scope) in [
        ("filter[status]=succeeded&sort=-created_at", &ReadScope::All),
        (
            "filter[status]=succeeded&filter[priority__gte]=0&sort=-id",
            &ReadScope::All,
        ),
        (
            "filter[status__in]=succeeded,failed&sort=-created_at",
            &ReadScope::All,
        ),
        ("filter[status]=pending", &ReadScope::All),
        ("sort=-created_at", &old),
        ("filter[status]=succeeded&sort=-created_at", &old),
    ] {
        let middle = match query {
            "filter[status]=pending" => id_of(ROWS / 4 * 3),
            _ => id_of(ROWS / 4),
        };
        let first = format!("{query}&page[size]=50");
        let next = page_after(database, &first, middle).await;
        for query in [first, next] {
            let plan = explain::<JobResource>(database, &query, scope).await;
            let read = rows_read(&plan);
            assert!(
                read <= 500.0,
                "/jobs?{query} within {scope:?} reads {read}: {plan:#}"
            );
        }
    }
}
