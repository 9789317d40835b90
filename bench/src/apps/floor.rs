//! The floor: a server that makes the system calls and does next to nothing else.
//!
//! It shows what the kernel and the runtime cost. It is not a Socket.IO server: it checks nothing, sends no heartbeat, parses no JSON, and a
//! broadcast is written to every member's socket by the task that was asked for it. Long-polling is not supported.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use clap::Args;
use tokio::net::{TcpListener, TcpStream};

use crate::latency::stamped;

const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const OPEN: &[u8] = br#"0{"sid":"floor","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
/// Bytes read at once, and the longest request.
const READ_LEN: usize = 64 << 10;

thread_local! {
    static INPUT: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_LEN]);
}

/// Serves the floor until it is ended.
#[derive(Clone, Debug, Args)]
pub struct Floor {
    /// Port on 127.0.0.1
    port: u16,
}

type Rooms = Mutex<HashMap<Vec<u8>, Vec<Arc<TcpStream>>>>;

impl Floor {
    /// Serves.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn run(&self) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        let rooms: Arc<Rooms> = Arc::default();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            stream.set_nodelay(true)?;
            let rooms = rooms.clone();
            tokio::spawn(async move {
                let stream = Arc::new(stream);
                drop(serve(&stream, &rooms).await);
                let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
                for members in rooms.values_mut() {
                    members.retain(|member| !Arc::ptr_eq(member, &stream));
                }
            });
        }
    }
}

/// A request of a client.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    Connect,
    Echo { id: &'a [u8], data: &'a [u8] },
    Join { id: &'a [u8], room: &'a [u8] },
    Leave { id: &'a [u8], room: &'a [u8] },
    Publish { room: &'a [u8], len: usize, count: u64 },
    Other,
}

async fn serve(stream: &Arc<TcpStream>, rooms: &Rooms) -> Result<()> {
    let (mut partial, mut output) = (Vec::new(), Vec::new());
    let mut is_upgraded = false;
    loop {
        stream.readable().await?;
        let mut broadcasts = Vec::new();
        let read = INPUT.with_borrow_mut(|input| {
            input[..partial.len()].copy_from_slice(&partial);
            let num_read = stream.try_read(&mut input[partial.len()..])?;
            let received = &mut input[..partial.len() + num_read];
            let mut used = 0;
            if num_read == 0 || received.len() == READ_LEN {
                bail!("the end");
            }
            if !is_upgraded && received.ends_with(b"\r\n\r\n") {
                is_upgraded = true;
                used = received.len();
                output.extend_from_slice(UPGRADED);
                frame(&mut output, OPEN);
            }
            while is_upgraded && let Some((request, len)) = request(&mut received[used..]) {
                used += len;
                answer(&request, stream, rooms, &mut output);
                if let Request::Publish { room, len, count } = request {
                    broadcasts.push((room.to_vec(), len, count));
                }
            }
            partial = received[used..].to_vec();
            Ok(())
        });
        match read {
            Err(error) if is_blocked(&error) => continue,
            read => read?,
        }
        write(stream, &output).await?;
        output.clear();
        for (room, len, count) in broadcasts {
            broadcast(rooms, &room, len, count).await;
        }
    }
}

fn is_blocked(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Unmasks the first frame of `input` in place and reads it; `None` while it is incomplete.
fn request(input: &mut [u8]) -> Option<(Request<'_>, usize)> {
    let (begins_at, len) = match *input.get(1)? & 0x7f {
        126 => (8, usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?]))),
        127 => return Some((Request::Other, input.len())),
        len => (6, usize::from(len)),
    };
    let frame = input.get_mut(..begins_at + len)?;
    let (head, payload) = frame.split_at_mut(begins_at);
    let mask = &head[begins_at - 4..];
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Some((parse(payload), begins_at + len))
}

fn parse(packet: &[u8]) -> Request<'_> {
    if packet.starts_with(b"40") {
        return Request::Connect;
    }
    parse_event(packet).unwrap_or(Request::Other)
}

fn parse_event(packet: &[u8]) -> Option<Request<'_>> {
    let rest = packet.strip_prefix(b"42")?;
    let num_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (id, array) = rest.split_at(num_digits);
    let array = array.strip_prefix(b"[\"")?.strip_suffix(b"]")?;
    if let Some(data) = array.strip_prefix(b"echo\",") {
        return Some(Request::Echo { id, data });
    }
    let text = |rest: &'_ [u8]| rest.iter().position(|&byte| byte == b'"');
    if let Some(room) = array.strip_prefix(b"join\",\"") {
        return Some(Request::Join {
            id,
            room: &room[..text(room)?],
        });
    }
    if let Some(room) = array.strip_prefix(b"leave\",\"") {
        return Some(Request::Leave {
            id,
            room: &room[..text(room)?],
        });
    }
    let rest = array.strip_prefix(b"publish\",\"")?;
    let (room, numbers) = rest.split_at(text(rest)?);
    let mut numbers = std::str::from_utf8(numbers.strip_prefix(b"\",")?).ok()?.split(',');
    Some(Request::Publish {
        room,
        len: numbers.next()?.parse().ok()?,
        count: numbers.next()?.parse().ok()?,
    })
}

fn answer(request: &Request<'_>, stream: &Arc<TcpStream>, rooms: &Rooms, output: &mut Vec<u8>) {
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    match request {
        Request::Connect => frame(output, br#"40{"sid":"floor"}"#),
        Request::Echo { id, data } => frame(output, &[b"43", *id, b"[", *data, b"]"].concat()),
        Request::Join { id, room } => {
            rooms.entry(room.to_vec()).or_default().push(stream.clone());
            frame(output, &[b"43", *id, b"[\"ok\"]"].concat());
        }
        Request::Leave { id, room } => {
            if let Some(members) = rooms.get_mut(*room) {
                members.retain(|member| !Arc::ptr_eq(member, stream));
            }
            frame(output, &[b"43", *id, b"[\"ok\"]"].concat());
        }
        Request::Publish { .. } | Request::Other => {}
    }
}

async fn broadcast(rooms: &Rooms, room: &[u8], len: usize, count: u64) {
    let members = {
        let rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(room).cloned().unwrap_or_default()
    };
    // All of a batch leave with one write, as they do from an outbox.
    let mut output = Vec::new();
    for _ in 0..count {
        frame(&mut output, format!("42[\"m\",\"{}\"]", stamped(len)).as_bytes());
    }
    for member in &members {
        // A member that has left is removed by its own task.
        drop(write(member, &output).await);
    }
}

fn frame(output: &mut Vec<u8>, payload: &[u8]) {
    output.push(0x81);
    match payload.len() {
        len @ 0..=125 => output.push(len as u8),
        len @ 126..=0xffff => {
            output.push(126);
            output.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            output.push(127);
            output.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(payload);
}

async fn write(stream: &TcpStream, mut output: &[u8]) -> std::io::Result<()> {
    while !output.is_empty() {
        match stream.try_write(output) {
            Ok(num_bytes) => output = &output[num_bytes..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Request, parse};

    #[test]
    fn the_events_of_the_test_application_are_read() {
        assert_eq!(parse(b"40"), Request::Connect);
        assert_eq!(
            parse(br#"427["echo","x"]"#),
            Request::Echo {
                id: b"7",
                data: br#""x""#
            }
        );
        assert_eq!(parse(br#"420["join","r1"]"#), Request::Join { id: b"0", room: b"r1" });
        assert_eq!(parse(br#"420["leave","r1"]"#), Request::Leave { id: b"0", room: b"r1" });
        let publish = Request::Publish {
            room: b"r",
            len: 128,
            count: 10,
        };
        assert_eq!(parse(br#"42["publish","r",128,10]"#), publish);
        assert_eq!(parse(b"3"), Request::Other);
        assert_eq!(parse(br#"42["publish","r",x]"#), Request::Other);
    }
}
