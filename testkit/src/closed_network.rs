//! A network of a test's own, in which every address is this machine: what is dialled there, by
//! whatever mistake, reaches nobody.

use std::{net::SocketAddr, path::Path};

use tokio::{
    net::{TcpListener, TcpSocket},
    process::Command,
};

use crate::tempdir;

/// An address of the public internet, where an origin of the test's can listen.
pub const PUBLIC_V4: &str = "93.184.215.14";
/// Another one.
pub const OTHER_V4: &str = "93.184.215.16";
/// One that cannot be reached.
pub const UNREACHABLE_V4: &str = "93.184.215.15";
/// One of the newer internet.
pub const PUBLIC_V6: &str = "2606:2800:21f:cb07::14";

/// Set where a test runs inside.
const INSIDE: &str = "MEDIA_CLOSED_NETWORK";

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How names are resolved inside: by a server of the test's alone.
const ETC: [(&str, &str); 3] = [
    ("hosts", ""),
    ("nsswitch.conf", "hosts: dns\n"),
    ("resolv.conf", "nameserver 127.0.0.1\n"),
];

/// Sets the namespaces up, then becomes the test. The first argument is where the files of [`ETC`]
/// are.
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

/// Runs a test's body in a closed network: the test's program starts once more in there, for this
/// test alone. Works for root and, where the kernel lets users make namespaces, for anyone.
pub async fn run(body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        assert_closed().await;
        body.await;
    } else {
        run_inside(name_of(&body)).await;
    }
}

/// Listens on an address, also where another listens on all addresses; whoever dials this one then
/// comes here.
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

/// The name of the test that a body is written in, as the test's program lists it.
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
        // A name that no test has is a success of no test.
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

/// Panics where there is a way out: the variable alone proves nothing.
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
