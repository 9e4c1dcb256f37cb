//! nginx as an origin.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    free_port,
    process::{Launch, Supervised},
    tempdir, wait_until,
};

/// A running nginx that serves a directory.
pub struct Nginx {
    // Dropped before the directory is removed.
    process: Option<Supervised>,
    port: u16,
    directory: TempDir,
}

impl Nginx {
    /// Starts nginx. It serves each file below `/` at full speed, below `/slow/` at 4 MB/s without ranges,
    /// below `/limited/` at 4 MB/s per connection with ranges, below `/alone/` the same but to one connection
    /// at a time (others get 503), and below `/named/` with a `Content-Disposition`.
    pub async fn start() -> Self {
        let directory = tempdir::create();
        std::fs::create_dir(directory.path().join("files")).unwrap();
        // If root starts nginx, its workers run as another user.
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let port = free_port();
        let configuration = directory.path().join("nginx.conf");
        std::fs::write(&configuration, configure(directory.path(), port)).unwrap();
        let mut nginx = Self {
            process: None,
            port,
            directory,
        };
        nginx.restart().await;
        nginx
    }

    /// Starts nginx again after [`Nginx::stop`].
    pub async fn restart(&mut self) {
        let configuration = self.directory.path().join("nginx.conf");
        let arguments = [
            "-p",
            self.directory.path().to_str().unwrap(),
            "-c",
            configuration.to_str().unwrap(),
            "-e",
            "error.log",
        ];
        self.process = Some(Launch::new("/usr/sbin/nginx", &arguments).start());
        wait_until("nginx listens", Duration::from_secs(10), async || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        })
        .await;
    }

    /// Stops nginx and cuts running transfers.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Returns the process id. Panics if nginx is stopped.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("nginx runs").pid()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Returns the path of a served file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    pub fn add(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }
}

fn configure(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    format!(
        r#"
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    sendfile on;
    # Its default of a thousand closes connections that a load is on.
    keepalive_requests 100000000;
    limit_conn_zone $server_port zone=alone:1m;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/files;
        location /slow/ {{ alias {directory}/files/; limit_rate 4m; max_ranges 0; }}
        location /limited/ {{ alias {directory}/files/; limit_rate 4m; }}
        location /alone/ {{ alias {directory}/files/; limit_rate 4m; limit_conn alone 1; }}
        location /named/ {{
            alias {directory}/files/;
            add_header Content-Disposition "attachment; filename=\"plain.bin\"; filename*=UTF-8''na%C3%AFve%20name.bin";
        }}
    }}
}}
"#
    )
}
