//! A name server with scripted answers.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE,
    rdata::{CNAME, RData},
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// The address that the C library asks when `resolv.conf` names this machine.
const ADDRESS: &str = "127.0.0.1:53";
/// The largest message over UDP (RFC 1035 §2.3.4), in bytes.
const MAX_MESSAGE_BYTES: usize = 512;
/// Forbids caching (RFC 1035 §3.2.1).
const TTL: u32 = 0;

/// The addresses of a name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These addresses, IPv4 and IPv6 mixed.
    Addresses(Vec<IpAddr>),
    /// One list of addresses per lookup, in order; the last one is repeated.
    InTurn(Vec<Vec<IpAddr>>),
    /// The addresses of another name.
    Alias(String),
}

/// A running name server. Every other name is answered with NXDOMAIN.
pub struct NameServer {
    zone: Arc<Zone>,
    answering: JoinHandle<()>,
}

impl NameServer {
    /// Starts a name server for these names, which must be in lower case.
    pub async fn start(names: HashMap<String, Answer>) -> Self {
        let socket = UdpSocket::bind(ADDRESS).await.unwrap();
        let zone = Arc::new(Zone {
            names,
            queries: Mutex::default(),
        });
        let answering = tokio::spawn(answer_all(socket, Arc::clone(&zone)));
        Self { zone, answering }
    }

    /// Returns how often a name was looked up. A lookup asks for IPv4 and IPv6 addresses once each.
    pub fn lookups(&self, name: &str) -> usize {
        [TYPE::A, TYPE::AAAA]
            .map(|kind| self.zone.queries_so_far(name, kind.into()))
            .into_iter()
            .max()
            .unwrap_or_default()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

async fn answer_all(socket: UdpSocket, zone: Arc<Zone>) {
    let mut message = [0; MAX_MESSAGE_BYTES];
    loop {
        let (length, client) = socket.recv_from(&mut message).await.unwrap();
        let reply = zone.reply(&message[..length]);
        socket.send_to(&reply, client).await.unwrap();
    }
}

/// All names, with the number of queries for each.
struct Zone {
    names: HashMap<String, Answer>,
    queries: Mutex<HashMap<(String, u16), usize>>,
}

impl Zone {
    fn reply(&self, query: &[u8]) -> Vec<u8> {
        let mut packet = Packet::parse(query).unwrap().into_reply();
        packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
        let question = packet.questions.first().expect("a question");
        let name = question.qname.to_string().to_ascii_lowercase();
        match self.records(&name, question.qtype) {
            Some(records) => packet.answers = records,
            None => *packet.rcode_mut() = RCODE::NameError,
        }
        packet.build_bytes_vec().unwrap()
    }

    /// Returns the records of a name that answer a question, or `None` if the name does not exist.
    fn records(&self, name: &str, kind: QTYPE) -> Option<Vec<ResourceRecord<'static>>> {
        let turn = self.count_query(name, kind);
        let addresses = match self.names.get(name)? {
            Answer::Addresses(addresses) => addresses,
            Answer::InTurn(turns) => turns.get(turn).or(turns.last())?,
            Answer::Alias(target) => {
                let mut records = vec![record(name, RData::CNAME(CNAME(owned_name(target))))];
                records.extend(self.records(target, kind)?);
                return Some(records);
            }
        };
        let records = addresses.iter().map(|address| match *address {
            IpAddr::V4(address) => record(name, RData::A(address.into())),
            IpAddr::V6(address) => record(name, RData::AAAA(address.into())),
        });
        Some(records.filter(|record| record.match_qtype(kind)).collect())
    }

    /// Counts a query and returns the number of earlier ones.
    fn count_query(&self, name: &str, kind: QTYPE) -> usize {
        let mut queries = self.queries.lock().unwrap();
        let count = queries.entry((name.to_owned(), kind.into())).or_default();
        let before = *count;
        *count += 1;
        before
    }

    fn queries_so_far(&self, name: &str, kind: QTYPE) -> usize {
        let queries = self.queries.lock().unwrap();
        let count = queries.get(&(name.to_owned(), kind.into()));
        count.copied().unwrap_or_default()
    }
}

fn record(name: &str, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(owned_name(name), CLASS::IN, TTL, data)
}

fn owned_name(name: &str) -> Name<'static> {
    Name::new(name).unwrap().into_owned()
}
