//! A PostgreSQL server with a data directory of its own.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    free_port,
    process::{Launch, Supervised},
    tempdir,
};

/// A PostgreSQL server, which can be stopped and started again with the same data.
pub struct Postgres {
    port: u16,
    programs: PathBuf,
    directory: String,
    durable: bool,
    process: Option<Supervised>,
    _data: TempDir,
}

/// The arguments of `setpriv` that switch to the user `postgres`; the server refuses to run as root.
pub(crate) const AS_POSTGRES: [&str; 4] = [
    "--reuid=postgres",
    "--regid=postgres",
    "--init-groups",
    "--",
];

impl Postgres {
    /// Starts a server without fsync.
    pub fn start() -> Self {
        Self::start_as(false)
    }

    /// Starts a server that is as durable as in production.
    pub fn start_durable() -> Self {
        Self::start_as(true)
    }

    fn start_as(durable: bool) -> Self {
        let mut server = Self::new(durable);
        let options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"];
        server.run_program(
            "initdb",
            &[&["-D", &server.directory], &options[..]].concat(),
        );
        server.restart();
        server
    }

    /// Starts a standby that replicates a server.
    pub fn start_standby_of(primary: &Self) -> Self {
        let mut standby = Self::new(primary.durable);
        let port = primary.port.to_string();
        let arguments = [
            "-D",
            &standby.directory,
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            // Writes the configuration of a standby.
            "-R",
            "--checkpoint=fast",
            "--no-sync",
        ];
        standby.run_program("pg_basebackup", &arguments);
        standby.restart();
        standby
    }

    /// Prepares a server with an empty data directory.
    fn new(durable: bool) -> Self {
        let data = tempdir::create();
        let directory = data.path().join("data");
        std::fs::create_dir(&directory).unwrap();
        // PostgreSQL refuses a directory that others can read.
        let private = <std::fs::Permissions as PermissionsExt>::from_mode(0o700);
        std::fs::set_permissions(&directory, private).unwrap();
        if is_root() {
            run(Command::new("chown")
                .arg("postgres")
                .args([data.path(), &directory]));
        }
        Self {
            port: free_port(),
            programs: newest_postgres(),
            directory: directory.to_str().unwrap().to_owned(),
            durable,
            process: None,
            _data: data,
        }
    }

    /// Runs one of PostgreSQL's programs as its user.
    fn run_program(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        if is_root() {
            let mut command = Command::new("setpriv");
            run(command.args(AS_POSTGRES).arg(&program).args(arguments));
        } else {
            run(Command::new(&program).args(arguments));
        }
    }

    /// Promotes a standby to primary.
    pub fn promote(&self) {
        self.run_program("pg_ctl", &["promote", "-w", "-D", &self.directory]);
    }

    /// Starts the server again after [`Postgres::stop`], with its data.
    pub fn restart(&mut self) {
        let program = self.programs.join("postgres");
        self.process = Some(start_postgres(
            &program,
            &self.directory,
            self.port,
            self.durable,
        ));
        self.wait();
    }

    /// Stops the server and cuts all connections, as in a restart of the machine.
    pub fn stop(&mut self) {
        self.process = None;
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        let port = self.port.to_string();
        let ready = || {
            Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status()
                .is_ok_and(|status| status.success())
        };
        while !ready() {
            assert!(Instant::now() < end, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Creates a superuser who needs a password over the network, or changes the password of an existing one.
    pub fn require_password(&self, user: &str, password: &str) {
        self.run_sql(&format!(
            "DO $$ BEGIN CREATE ROLE {user} SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        ));
        self.run_sql(&format!("ALTER ROLE {user} PASSWORD '{password}'"));
        let rules = Path::new(&self.directory).join("pg_hba.conf");
        let rule = format!("host all {user} 127.0.0.1/32 scram-sha-256\n");
        let others = std::fs::read_to_string(&rules).unwrap();
        if !others.starts_with(&rule) {
            std::fs::write(&rules, rule + &others).unwrap();
        }
        self.run_sql("SELECT pg_reload_conf()");
    }

    /// Terminates all connections except the one that does so.
    pub fn cut_connections(&self) {
        self.run_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        );
    }

    fn run_sql(&self, sql: &str) {
        let url = self.url("postgres");
        run(Command::new(self.programs.join("psql")).args(["-q", &url, "-c", sql]));
    }

    /// Returns the value for `DATABASE_URL` of a user with a password.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/postgres",
            self.port
        )
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the value for `DATABASE_URL`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

fn start_postgres(program: &Path, data: &str, port: u16, durable: bool) -> Supervised {
    let port = port.to_string();
    let durability = if durable { "on" } else { "off" };
    let (fsync, pages) = (
        format!("fsync={durability}"),
        format!("full_page_writes={durability}"),
    );
    let settings = [
        "-D",
        data,
        "-p",
        &port,
        "-h",
        "127.0.0.1",
        "-k",
        "",
        "-c",
        &fsync,
        "-c",
        &pages,
        "-c",
        "max_connections=200",
    ];
    if is_root() {
        let program = program.to_str().unwrap();
        let arguments: Vec<&str> = AS_POSTGRES
            .into_iter()
            .chain([program])
            .chain(settings)
            .collect();
        Launch::new("/usr/bin/setpriv", &arguments)
    } else {
        Launch::new(program, &settings)
    }
    .ended_by("-INT")
    .start()
}

/// Returns the directory of the programs of the newest installed PostgreSQL, as Debian installs them.
fn newest_postgres() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is missing; `make install` installs it")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    versions.sort();
    versions
        .pop()
        .expect("PostgreSQL is missing; `make install` installs it")
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
