//! PgBouncer in transaction mode, in front of a PostgreSQL server.

use std::{process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    free_port,
    postgres::{AS_POSTGRES, Postgres, is_root, run},
    process::{Launch, Supervised},
    tempdir,
};

/// The number of connections to each database: fewer than clients have, so that the transactions of one
/// client run on different connections.
const POOL_SIZE: u32 = 4;
/// The longest time until PgBouncer accepts connections.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running PgBouncer.
pub struct PgBouncer {
    // Dropped before the directory is removed.
    _process: Supervised,
    port: u16,
    _directory: TempDir,
}

impl PgBouncer {
    /// Starts a PgBouncer that assigns a server connection for each transaction.
    pub fn start(server: &Postgres) -> Self {
        let directory = tempdir::create();
        let port = free_port();
        let configuration = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = {POOL_SIZE}\n\
             max_client_conn = 1000\n\
             server_login_retry = 1\n\
             server_round_robin = 1\n",
            server = server.port()
        );
        // `any` logs in as this user, whatever name the client gives.
        let text = text.replace("port=", "user=postgres port=");
        std::fs::write(&configuration, text).unwrap();
        let program = "/usr/sbin/pgbouncer";
        let configuration = configuration.to_str().unwrap();
        let launch = if is_root() {
            run(Command::new("chown")
                .args(["-R", "postgres"])
                .arg(directory.path()));
            let arguments: Vec<&str> = AS_POSTGRES
                .into_iter()
                .chain([program, "-q", configuration])
                .collect();
            Launch::new("/usr/bin/setpriv", &arguments)
        } else {
            Launch::new(program, &["-q", configuration])
        };
        assert!(
            std::path::Path::new(program).exists(),
            "{program} is missing; `make install` installs it"
        );
        let process = launch.start();
        let end = std::time::Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < end, "PgBouncer did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            _process: process,
            port,
            _directory: directory,
        }
    }

    /// Returns the value for `DATABASE_URL`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}
