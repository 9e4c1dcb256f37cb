//! A network namespace for one test, in which every address leads to this machine. A connection attempt there
//! reaches no other host, whatever address it goes to.

use std::{net::SocketAddr, path::Path};

use tokio::{
    net::{TcpListener, TcpSocket},
    process::Command,
};

use crate::tempdir;

/// A public IPv4 address on which an origin of the test can listen.
pub const PUBLIC_V4: &str = "93.184.215.14";
/// Another public IPv4 address.
pub const OTHER_V4: &str = "93.184.215.16";
/// A public IPv4 address that cannot be reached.
pub const UNREACHABLE_V4: &str = "93.184.215.15";
/// A public IPv6 address.
pub const PUBLIC_V6: &str = "2606:2800:21f:cb07::14";

/// The variable that is set inside the namespace.
const INSIDE: &str = "MEDIA_CLOSED_NETWORK";

/// The length of the accept queue of a listener.
const BACKLOG: u32 = 1024;

/// The files of `/etc` that make the C library ask the name server of the test and nothing else.
const ETC: [(&str, &str); 3] = [
    ("hosts", ""),
    ("nsswitch.conf", "hosts: dns\n"),
    ("resolv.conf", "nameserver 127.0.0.1\n"),
];

/// Sets up the namespaces, then executes the test. The first argument is the directory with the files of
/// [`ETC`].
const SET_UP: &str = r#"
etc=$1
shift
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
ip route add unreachable "$UNREACHABLE_V4" table local
# A route is enough to listen on an address of IPv4, but not on one of IPv6.
ip address add "$PUBLIC_V6/128" dev lo nodad
for file in "$etc"/*; do
    # What is missing in /etc is missing in here; libc asks 127.0.0.1 then, too.
    place=/etc/${file##*/}
    [ ! -e "$place" ] || mount --bind "$file" "$place"
done
# libc prefers a cache that would ask outside.
[ ! -d /run/nscd ] || mount -t tmpfs none /run/nscd
exec "$@"
"#;

/// Runs the body of a test in a closed network: it starts the test program again inside, for this test alone.
/// Works for root and, where the kernel allows user namespaces, for every user.
pub async fn run(body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        assert_closed().await;
        body.await;
    } else {
        run_inside(name_of(&body)).await;
    }
}

/// Listens on one address, even if another socket listens on all addresses. Connections to this address are
/// then accepted here.
pub fn listen(address: SocketAddr) -> TcpListener {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(BACKLOG).unwrap()
}

/// Returns the name of the test that contains a body, as the test program lists it.
fn name_of<T>(body: &T) -> &'static str {
    let path = std::any::type_name_of_val(body);
    let (_, path) = path.split_once("::").expect("a crate's name comes first");
    let (test, _) = path.split_once("::{{closure}}").expect("an async block");
    test
}

async fn run_inside(test: &str) {
    let etc = tempdir::create();
    for (file, content) in ETC {
        std::fs::write(etc.path().join(file), content).unwrap();
    }
    let output = command(etc.path(), test).output().await.expect("unshare");
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        // A filter that matches no test ends with success as well.
        output.status.success() && stdout.contains("1 passed"),
        "{test} in the closed network: {}\n{stdout}\n{stderr}",
        output.status
    );
}

fn command(etc: &Path, test: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--net", "--mount"])
        .args(["sh", "-eu", "-c", SET_UP, "sh"])
        .arg(etc)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("PUBLIC_V6", PUBLIC_V6)
        .env("UNREACHABLE_V4", UNREACHABLE_V4)
        .kill_on_drop(true);
    command
}

/// Panics unless loopback is the only interface; the variable alone proves nothing.
async fn assert_closed() {
    let mut command = Command::new("ip");
    command.args(["-oneline", "link", "show", "up"]);
    let links = command.output().await.expect("ip").stdout;
    let links = String::from_utf8_lossy(&links);
    let names: Vec<_> = links
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(names, ["lo"], "{INSIDE} is set, but this network is open");
}
