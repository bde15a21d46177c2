//! Listening TCP sockets and who holds them: one netlink question, then the file descriptors of the candidates.
//!
//! `/proc/net/tcp` is not read unless it must be: the kernel walks its whole table of connections for it (21 ms here),
//! while `sock_diag` walks the listening ones alone.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::{
    proc::{Folder, moment, pids},
    remembered::Remembered,
};
use crate::{
    health::signals::{ProcessId, RunState},
    process::{Listener, ports::Scope},
};

/// One listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    addr: SocketAddr,
    /// Bound with `IPV6_V6ONLY`.
    v6_only: bool,
    user: u32,
    inode: u64,
}

/// What is known of one process's sockets: it need not be looked through again until a socket appears that was not
/// there the last time.
#[derive(Default)]
struct Looked {
    /// Inodes that were listening then; one list for all that were looked through at the same time.
    seen: Arc<BTreeSet<u64>>,
    /// Those of them that it held, each with a descriptor of it: whether it still does, one look at that tells.
    held: Vec<(u64, String)>,
}

type Memory = Remembered<Looked>;

static LOOKED: LazyLock<Mutex<Memory>> = LazyLock::new(Mutex::default);

/// All listening sockets, with those holders that are within the scope.
pub fn listeners(scope: Scope<'_>) -> io::Result<Vec<Listener>> {
    let mut sockets = sockets()?;
    let inodes: Arc<BTreeSet<u64>> = Arc::new(sockets.iter().map(|s| s.inode).filter(|i| *i != 0).collect());
    let mut looked = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
    let holders = match scope {
        Scope::All => holders(&living()?, &inodes, &mut looked),
        Scope::Processes(ids) => holders(ids, &inodes, &mut looked),
        Scope::Port(port) => {
            sockets.retain(|s| s.addr.port() == port);
            // For a port where nobody listens nobody is looked at, and not everybody while a known holder has it.
            let known = holders(&known_holders(&sockets, &looked), &inodes, &mut looked);
            match sockets.iter().all(|s| known.contains_key(&s.inode)) {
                true => known,
                false => holders(&living()?, &inodes, &mut looked),
            }
        }
    };
    drop(looked);
    Ok(sockets
        .into_iter()
        .map(|s| Listener {
            addr: s.addr,
            v6_only: s.v6_only,
            user: Some(s.user),
            pids: holders.get(&s.inode).cloned().unwrap_or_default(),
        })
        .collect())
}

/// Who of these holds which of the sockets.
fn holders(candidates: &[ProcessId], listening: &Arc<BTreeSet<u64>>, looked: &mut Memory) -> HashMap<u64, Vec<u32>> {
    let mut holders: HashMap<u64, Vec<u32>> = HashMap::new();
    for id in candidates {
        for inode in held_by(*id, listening, looked) {
            holders.entry(inode).or_default().push(id.pid);
        }
    }
    holders
}

fn living() -> io::Result<Vec<ProcessId>> {
    let living = |pid| moment(pid).filter(|(_, state)| *state != RunState::Zombie).map(|(id, _)| id);
    Ok(pids()?.into_iter().filter_map(living).collect())
}

/// Who held one of these sockets when it was looked at.
fn known_holders(sockets: &[Socket], looked: &Memory) -> Vec<ProcessId> {
    let holds = |looked: &Looked| looked.held.iter().any(|(inode, _)| sockets.iter().any(|s| s.inode == *inode));
    looked.iter().filter(|(_, looked)| holds(looked)).map(|(id, _)| *id).collect()
}

/// Which of these sockets the process holds.
fn held_by(id: ProcessId, listening: &Arc<BTreeSet<u64>>, looked: &mut Memory) -> Vec<u64> {
    if let Some(last) = looked.get(&id)
        && listening.is_subset(&last.seen)
    {
        let of_interest = || last.held.iter().filter(|(inode, _)| listening.contains(inode));
        if of_interest().next().is_none() {
            return Vec::new();
        }
        let Some(folder) = open(id) else { return Vec::new() };
        // It may have closed one that an heir still has open; and right after a fork it has all of its parent's, which
        // its exec closes.
        return of_interest()
            .filter(|(inode, fd)| socket_behind(&folder, fd) == Some(*inode))
            .map(|(i, _)| *i)
            .collect();
    }
    let Some(held) = scan(id, listening) else { return Vec::new() };
    let inodes = held.iter().map(|(inode, _)| *inode).collect();
    looked.insert(id, Looked { seen: listening.clone(), held });
    inodes
}

/// `None`: its file descriptors may not be read, or it is gone.
fn scan(id: ProcessId, listening: &BTreeSet<u64>) -> Option<Vec<(u64, String)>> {
    let folder = open(id)?;
    let mut held: Vec<(u64, String)> = folder
        .list("fd")
        .ok()?
        .into_iter()
        .filter_map(|fd| {
            let fd = String::from_utf8(fd).ok()?;
            Some((socket_behind(&folder, &fd)?, fd))
        })
        .filter(|(inode, _)| listening.contains(inode))
        .collect();
    held.sort_unstable();
    held.dedup_by_key(|(inode, _)| *inode);
    Some(held)
}

fn open(id: ProcessId) -> Option<Folder> {
    let folder = Folder::open(id.pid).ok()?;
    folder.stat(id.pid).filter(|s| s.id == id)?;
    Some(folder)
}

/// The inode of the socket that a descriptor stands for.
fn socket_behind(folder: &Folder, fd: &str) -> Option<u64> {
    let link = folder.link(&format!("fd/{fd}")).ok()?;
    let inode = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(inode).ok()?.parse().ok()
}

fn sockets() -> io::Result<Vec<Socket>> {
    // A sandbox may forbid netlink.
    by_netlink().or_else(|_| from_proc())
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_HEADER: usize = 16;
const INET_DIAG_MSG: usize = 72;
const INET_DIAG_SKV6ONLY: u16 = 11;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;
const LISTEN: u32 = 10;

fn by_netlink() -> io::Result<Vec<Socket>> {
    let fd = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    let mut found = Vec::new();
    // The kernel's pieces are of 8 KiB at most.
    let mut buffer = [0; 16 * 1024];
    for family in [AF_INET, AF_INET6] {
        rustix::net::send(&fd, &question(family), SendFlags::empty())?;
        loop {
            let (length, whole) = rustix::net::recv(&fd, &mut buffer, RecvFlags::TRUNC)?;
            if whole > length || length == 0 {
                return Err(io::Error::other("the list of sockets came cut"));
            }
            if read_answer(&buffer[..length], &mut found)? {
                break;
            }
        }
    }
    Ok(found)
}

/// `nlmsghdr` and `inet_diag_req_v2`: all TCP sockets of a family in state LISTEN.
fn question(family: u8) -> [u8; 72] {
    let mut bytes = [0; 72];
    bytes[0..4].copy_from_slice(&72u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    bytes[16] = family;
    bytes[17] = TCP;
    bytes[20..24].copy_from_slice(&(1u32 << LISTEN).to_ne_bytes());
    bytes
}

/// Adds the sockets of one datagram; true: it was the last.
fn read_answer(mut bytes: &[u8], found: &mut Vec<Socket>) -> io::Result<bool> {
    while bytes.len() >= NLMSG_HEADER {
        let length = u32_at(bytes, 0) as usize;
        if length < NLMSG_HEADER || length > bytes.len() {
            return Err(io::Error::other("the list of sockets is malformed"));
        }
        let body = &bytes[NLMSG_HEADER..length];
        match u16_at(bytes, 4) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return Err(io::Error::other("the kernel refused the list of sockets")),
            SOCK_DIAG_BY_FAMILY => found.extend(socket(body)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `inet_diag_msg` and its attributes.
fn socket(body: &[u8]) -> Option<Socket> {
    if body.len() < INET_DIAG_MSG {
        return None;
    }
    let ip = match body[0] {
        AF_INET => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&body[8..12]).ok()?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&body[8..24]).ok()?)),
        _ => return None,
    };
    let mut v6_only = false;
    let mut attributes = &body[INET_DIAG_MSG..];
    while attributes.len() >= 4 {
        let length = u16_at(attributes, 0) as usize;
        if length < 4 || length > attributes.len() {
            break;
        }
        if u16_at(attributes, 2) == INET_DIAG_SKV6ONLY {
            v6_only = attributes[4..length].first().is_some_and(|b| *b != 0);
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Socket {
        addr: SocketAddr::new(ip.to_canonical(), u16::from_be_bytes([body[4], body[5]])),
        v6_only,
        user: u32_at(body, 64),
        inode: u32_at(body, 68).into(),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn from_proc() -> io::Result<Vec<Socket>> {
    let mut found = parse(&fs::read_to_string("/proc/net/tcp")?);
    // Absent where IPv6 is off.
    found.extend(parse(&fs::read_to_string("/proc/net/tcp6").unwrap_or_default()));
    Ok(found)
}

fn parse(table: &str) -> Vec<Socket> {
    table.lines().skip(1).filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    // Words of 32 bits as the machine has them in memory.
    let words: Vec<u8> = (0..ip.len() / 8)
        .map(|word| u32::from_str_radix(ip.get(word * 8..word * 8 + 8)?, 16).ok())
        .collect::<Option<Vec<u32>>>()?
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let ip = match words.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(words).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(words).ok()?),
        _ => return None,
    };
    Some(Socket {
        addr: SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?),
        v6_only: false,
        user: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn find(sockets: &[Socket], addr: SocketAddr) -> Option<&Socket> {
        sockets.iter().find(|s| s.addr == addr)
    }

    #[test]
    fn netlink_and_proc_tell_the_same_of_our_sockets() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0");
        let netlink = by_netlink().unwrap();
        let proc = from_proc().unwrap();
        for addr in [four.local_addr().ok(), six.ok().and_then(|s| s.local_addr().ok())].into_iter().flatten() {
            let one = find(&netlink, addr).unwrap();
            let other = find(&proc, addr).unwrap();
            assert_eq!((one.inode, one.user), (other.inode, other.user));
        }
    }

    #[test]
    fn a_connection_is_not_a_listener() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        assert_eq!(find(&sockets().unwrap(), client.local_addr().unwrap()), None);
    }

    #[test]
    fn a_malformed_answer_is_an_error_and_not_a_panic() {
        let mut bytes = question(AF_INET).to_vec();
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        let mut found = Vec::new();
        // A body of 56 bytes is too short for a socket; a length beyond the datagram is refused.
        assert!(!read_answer(&bytes, &mut found).unwrap());
        assert_eq!(found, vec![]);
        bytes[0..4].copy_from_slice(&1000u32.to_ne_bytes());
        assert!(read_answer(&bytes, &mut found).is_err());
        bytes[0..4].copy_from_slice(&3u32.to_ne_bytes());
        assert!(read_answer(&bytes, &mut found).is_err());
    }
}
