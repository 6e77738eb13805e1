//! Named messages between the server and the other side, one packet each.
//!
//! To the zygote: one [`Template`], then a [`NewSlot`] for each slot to fork, whose descriptors are
//! the slot's own socket, the memory for its plans and the cgroup files it attaches itself through.
//! To a slot, and to the init it forked, which share the socket: [`Order`]s, and from them [`Event`]s.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    class::{CLASS_WORDS, Class},
    report::Stage,
    sys::{self, Ended, Filled, Received, Used},
};

/// What the zygote builds once: everything that all sandboxes share.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    /// Slots that will be asked for at most.
    pub(crate) slots: usize,
    /// Host trees to show read-only: path outside, path inside.
    pub(crate) trees: Vec<(PathBuf, PathBuf)>,
    /// A group counts the memory of sandboxes.
    pub(crate) memory_counted: bool,
    /// Name that `uname -n` tells.
    pub(crate) hostname: String,
}

/// What the zygote found out while building.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Whether sandboxes live in a user namespace made by an ordinary user.
    pub(crate) user_namespace: bool,
    /// First user id of payloads; slot `k` has this plus `k`, except in a user namespace.
    pub(crate) first_uid: Option<u32>,
    /// Groups of the calling user that cannot be dropped.
    pub(crate) kept_groups: usize,
    pub(crate) landlock_abi: i32,
    /// proc shows processes only (`subset=pid`) and hides those of others (`hidepid=ptraceable`).
    pub(crate) proc_subset: bool,
    pub(crate) proc_hidepid: bool,
}

/// The zygote's answer to a [`Template`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Built {
    Ready(Facts),
    Failed { stage: Stage, errno: i32, detail: String },
}

/// Asks the zygote for a slot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewSlot {
    pub(crate) index: usize,
}

/// Largest JSON message.
pub(crate) const MAX_JSON: usize = 64 << 10;

/// Sends one of the JSON messages above.
pub(crate) fn send_json(
    socket: &impl AsFd,
    message: &impl Serialize,
    fds: &[RawFd],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > MAX_JSON {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message over 64 KiB"));
    }
    sys::send(socket.as_fd(), &text, fds, 0)
}

/// Receives one of the JSON messages above; `None` when the other side is gone.
pub(crate) fn receive_json<T: for<'de> Deserialize<'de>>(
    socket: &impl AsFd,
) -> io::Result<Option<(T, Received)>> {
    let mut buffer = vec![0; MAX_JSON];
    let (len, fds) = sys::receive(socket.as_fd(), &mut buffer, 0)?;
    if len == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&buffer[..len])?, fds)))
}

/// What a slot, and the init it forked, are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// To a slot: make a sandbox up to the point where it has to be known what it runs.
    /// Descriptor: the cgroup directory its init is born in, where there is one.
    Prepare(Prepare),
    /// To the sandbox's init: run the plan in the slot's memory. Descriptors: stdin, stdout, stderr,
    /// and the mounts that the plan has places for.
    Request(Request),
    /// To the init of a sandbox that runs, which a [`KNOCK`](super::KNOCK) tells of it: connect to a
    /// port of its loopback interface.
    Connect(Connect),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepare {
    pub(crate) class: Class,
    /// Length of a plan that says what is known already; 0 when the request follows at once, so
    /// that nothing need be guessed.
    pub(crate) plan_len: u64,
    /// The plan names an interpreter, to be started before the request.
    pub(crate) starts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) plan_len: u64,
}

impl Request {
    /// Descriptors for standard input, output and error.
    pub(crate) const STDIO: usize = 3;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) port: u16,
    /// At `::1` instead of `127.0.0.1`.
    pub(crate) ipv6: bool,
}

const ORDER_WORDS: usize = 3 + CLASS_WORDS;

impl Order {
    pub(crate) const SIZE: usize = ORDER_WORDS * size_of::<u64>();

    pub(crate) fn encode(&self) -> [u8; Self::SIZE] {
        let mut words = [0; ORDER_WORDS];
        match self {
            Self::Prepare(Prepare { class, plan_len, starts }) => {
                words[..3].copy_from_slice(&[1, *plan_len, u64::from(*starts)]);
                words[3..].copy_from_slice(&class.encode());
            }
            Self::Request(Request { plan_len }) => words[..2].copy_from_slice(&[2, *plan_len]),
            Self::Connect(Connect { port, ipv6 }) => {
                words[..3].copy_from_slice(&[3, u64::from(*port), u64::from(*ipv6)]);
            }
        }
        to_bytes(words)
    }

    /// Reads an order; `None` when these bytes are none. Allocates only for a class with ports.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let words: [u64; ORDER_WORDS] = from_bytes(bytes)?;
        let plan_len = words[1];
        match words[0] {
            1 => {
                let class = Class::decode(words[3..].try_into().ok()?)?;
                Some(Self::Prepare(Prepare { class, plan_len, starts: words[2] != 0 }))
            }
            2 => Some(Self::Request(Request { plan_len })),
            3 => {
                let port = u16::try_from(words[1]).ok()?;
                Some(Self::Connect(Connect { port, ipv6: words[2] != 0 }))
            }
            _ => None,
        }
    }
}

fn to_bytes<const WORDS: usize, const SIZE: usize>(words: [u64; WORDS]) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

fn from_bytes<const WORDS: usize>(bytes: &[u8]) -> Option<[u64; WORDS]> {
    let mut words = [0; WORDS];
    if bytes.len() != size_of_val(&words) {
        return None;
    }
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(chunk.try_into().ok()?);
    }
    Some(words)
}

/// Points in time of one start, in the order they are passed; a sandbox that was prepared passed
/// those up to `Filtered` before its request came, but for `Requested`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Ordered,
    InitRuns,
    ProcMounted,
    Requested,
    JobMounted,
    PayloadRuns,
    Landlocked,
    Filtered,
    Passed,
    FilesMade,
    Ended,
}

impl Mark {
    pub(crate) const COUNT: usize = Mark::Ended as usize + 1;
}

/// `CLOCK_MONOTONIC` nanoseconds by [`Mark`]; 0 where a point was not reached.
pub(crate) type Marks = [u64; Mark::COUNT];

/// How the payload ended, told by init at that moment.
#[derive(Clone, Copy, Default)]
pub(crate) struct Exited {
    pub(crate) ended: Ended,
    /// The writable tmpfs at that moment.
    pub(crate) disk: Filled,
    pub(crate) marks: Marks,
}

/// What a slot or its init has to tell.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// The slot waits for an order: it has settled, or the last sandbox and its mounts are gone. The
    /// first time, its pidfd comes along.
    Ready,
    /// The sandbox was not set up; for a slot that never was ready, the slot itself.
    Failed { stage: Stage, errno: i32 },
    /// Init exists under this process id; its pidfd comes along.
    Started { pid: u32 },
    /// The sandbox waits for its request.
    Prepared,
    /// The directory for files that the caller is to have comes along.
    Collects,
    /// The sandbox's network is there; its sockets come along.
    Network,
    /// The terminal that the program is given; its outer side comes along.
    Terminal,
    /// The answer to [`Order::Connect`], in the order of these: an error number, or 0 with a socket
    /// that is connected or about to be.
    Connected { errno: i32 },
    /// The payload ended.
    Exited(Exited),
    /// Init and with it every process of the sandbox is gone and reaped.
    Gone { status: i32, used: Used },
}

const EVENT_WORDS: usize = 9 + Mark::COUNT;

impl Event {
    pub(crate) const SIZE: usize = EVENT_WORDS * size_of::<u64>();

    /// Sends the event without allocating.
    pub(crate) fn send(&self, socket: &impl AsFd, pidfd: Option<&impl AsRawFd>) -> io::Result<()> {
        let fd = pidfd.map(|fd| [fd.as_raw_fd()]);
        self.send_with(socket, fd.as_ref().map_or(&[], |fd| fd))
    }

    /// Sends the event with several descriptors, without allocating.
    pub(crate) fn send_with(&self, socket: &impl AsFd, fds: &[RawFd]) -> io::Result<()> {
        let mut words = [0u64; EVENT_WORDS];
        match self {
            Self::Ready => words[0] = 1,
            Self::Failed { stage, errno } => {
                words[..3].copy_from_slice(&[2, *stage as u64, *errno as u64]);
            }
            Self::Terminal => words[0] = 9,
            Self::Connected { errno } => words[..2].copy_from_slice(&[10, *errno as u64]),
            Self::Started { pid } => words[..2].copy_from_slice(&[3, u64::from(*pid)]),
            Self::Exited(exited) => {
                let Exited { ended, disk, marks } = exited;
                words[..9].copy_from_slice(&[
                    4,
                    ended.status as u64,
                    ended.used.user.as_nanos() as u64,
                    ended.used.system.as_nanos() as u64,
                    ended.used.max_rss,
                    disk.bytes_used,
                    disk.bytes_free,
                    disk.inodes_used,
                    disk.inodes_free,
                ]);
                words[9..].copy_from_slice(marks);
            }
            Self::Prepared => words[0] = 6,
            Self::Collects => words[0] = 7,
            Self::Network => words[0] = 8,
            Self::Gone { status, used } => words[..5].copy_from_slice(&[
                5,
                *status as u64,
                used.user.as_nanos() as u64,
                used.system.as_nanos() as u64,
                used.max_rss,
            ]),
        }
        let bytes: [u8; Self::SIZE] = to_bytes(words);
        sys::send(socket.as_fd(), &bytes, fds, 0)
    }

    /// Reads an event; `None` when these bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let words: [u64; EVENT_WORDS] = from_bytes(bytes)?;
        let used = Used {
            user: Duration::from_nanos(words[2]),
            system: Duration::from_nanos(words[3]),
            max_rss: words[4],
        };
        Some(match words[0] {
            1 => Self::Ready,
            2 => Self::Failed { stage: Stage::from_number(words[1])?, errno: words[2] as i32 },
            3 => Self::Started { pid: words[1] as u32 },
            4 => Self::Exited(Exited {
                ended: Ended { pid: 0, status: words[1] as i32, used },
                disk: Filled {
                    bytes_used: words[5],
                    bytes_free: words[6],
                    inodes_used: words[7],
                    inodes_free: words[8],
                },
                marks: words[9..].try_into().ok()?,
            }),
            5 => Self::Gone { status: words[1] as i32, used },
            6 => Self::Prepared,
            7 => Self::Collects,
            8 => Self::Network,
            9 => Self::Terminal,
            10 => Self::Connected { errno: words[1] as i32 },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any packet of `size` bytes, often one that begins like a message.
    fn packet(size: usize) -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop::collection::vec(any::<u8>(), size);
        (prop_oneof![0..11_u64, any::<u64>()], bytes).prop_map(|(first, mut bytes)| {
            bytes[..8].copy_from_slice(&first.to_ne_bytes());
            bytes
        })
    }

    proptest! {
        #[test]
        fn any_packet_is_a_message_or_not(
            order in packet(Order::SIZE),
            event in packet(Event::SIZE),
            other in prop::collection::vec(any::<u8>(), 0..2 * Order::SIZE),
        ) {
            if let Some(Order::Prepare(Prepare { class, .. })) = Order::decode(&order) {
                prop_assert!(class.ports.len() <= crate::class::MAX_PORTS);
            }
            let _ = Event::decode(&event);
            if other.len() != Order::SIZE {
                prop_assert_eq!(Order::decode(&other), None);
            }
        }

        #[test]
        fn orders_are_read_as_they_were_sent(
            ports in prop::collection::vec(any::<u16>(), 0..=crate::class::MAX_PORTS),
            plan_len: u64,
            starts: bool,
            port: u16,
            ipv6: bool,
        ) {
            let class = Class { profile: crate::Profile::Script, ports, interpreter: None };
            let prepare = Prepare { class, plan_len, starts };
            for order in [
                Order::Prepare(prepare),
                Order::Request(Request { plan_len }),
                Order::Connect(Connect { port, ipv6 }),
            ] {
                prop_assert_eq!(Order::decode(&order.encode()), Some(order));
            }
        }

        #[test]
        fn events_are_read_as_they_were_sent(
            status: i32,
            nanos in 0..u64::MAX,
            numbers: [u64; 5],
            marks: Marks,
        ) {
            let (ours, theirs) = nix::sys::socket::socketpair(
                nix::sys::socket::AddressFamily::Unix,
                nix::sys::socket::SockType::SeqPacket,
                None,
                nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            ).unwrap();
            let [max_rss, bytes_used, bytes_free, inodes_used, inodes_free] = numbers;
            let time = Duration::from_nanos(nanos);
            let used = Used { user: time, system: time / 2, max_rss };
            let disk = Filled { bytes_used, bytes_free, inodes_used, inodes_free };
            let exited = Exited { ended: Ended { pid: 0, status, used }, disk, marks };
            Event::Exited(exited).send(&ours, None::<&std::os::fd::OwnedFd>).unwrap();
            let mut buffer = [0; Event::SIZE];
            let (len, _) = sys::receive(theirs.as_fd(), &mut buffer, 0).unwrap();
            let Some(Event::Exited(read)) = Event::decode(&buffer[..len]) else {
                return Err(TestCaseError::fail("another event"));
            };
            prop_assert_eq!(read.ended.status, status);
            prop_assert_eq!(read.ended.used.user, time);
            prop_assert_eq!(read.ended.used.max_rss, max_rss);
            prop_assert_eq!((read.disk.bytes_used, read.disk.inodes_free), (bytes_used, inodes_free));
            prop_assert_eq!(read.marks, marks);
        }
    }
}
