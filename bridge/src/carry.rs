//! What a message becomes on another side.

use manager_api::cluster::{Change, ClusterRequest, RequestKind, Selection};
use manager_api::json::{Token, Tokens};
use manager_api::message::{Message, Target};
use manager_api::{Error, ErrorKind, Room, Sid};

/// Arrays and objects within each other, with the list of the arguments, that every reader of a wire of Node follows, with
/// those that the wire puts around them. Servers of ours would not read a message that goes deeper, and no standby would
/// see its mark.
pub(crate) const MAX_DEPTH: usize = 96;

/// Returns why a side that is not on the wire of python-socketio cannot carry a message.
///
/// # Errors
///
/// [`Config`](ErrorKind::Config) if its values nest too deep.
pub(crate) fn check_depth(message: &Message) -> Result<(), Error> {
    let payload = match message {
        Message::Emit(emit) => &emit.payload,
        Message::Request(ClusterRequest {
            kind: RequestKind::Event { payload, .. },
            ..
        }) => payload,
        _ => return Ok(()),
    };
    match nests_deeper(payload.json(), MAX_DEPTH) {
        true => Err(Error::new(
            ErrorKind::Config,
            format!("its values nest deeper than {MAX_DEPTH} levels"),
        )),
        false => Ok(()),
    }
}

fn nests_deeper(json: &str, max: usize) -> bool {
    // Each level takes two characters.
    if json.len() <= 2 * max {
        return false;
    }
    let mut depth = 0_usize;
    Tokens::of(json).any(|token| {
        match token {
            Token::OpenArray | Token::OpenMap => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > max
    })
}

/// Returns the messages that are published for one. With `is_python`, servers of python-socketio are among those that
/// receive them: they understand commands about a single client, and exclude single clients, where Node's servers do all
/// of it by rooms.
pub(crate) fn carried(mut message: Message, is_python: bool) -> Vec<Message> {
    if !is_python {
        return vec![message];
    }
    let mut beside = Vec::new();
    match &mut message {
        // The room of a client is named by its id.
        Message::Emit(emit) => {
            let ids = emit.except.iter().filter(|room| !room.is_number());
            let ids: Vec<_> = ids.map(|room| Sid::from(room.as_str())).collect();
            emit.skip.extend(ids);
        }
        Message::Members { clients, change } => beside = about_one(clients, change),
        _ => {}
    }
    std::iter::once(message).chain(beside).collect()
}

/// Returns the outcome of a message from those of its publishes, in their order. Where the message itself arrived, and
/// one beside it did not, it may have reached some servers and not others, and is not repeated.
pub(crate) fn outcome(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    let is_first = results.first().is_none_or(Result::is_err);
    let failed = results.into_iter().find_map(Result::err);
    match failed {
        None => Ok(()),
        Some(error) if is_first => Err(error),
        Some(error) => {
            let text = format!("a part of the message was not published: {error}");
            Err(Error::new(ErrorKind::Publish, text).possibly_published())
        }
    }
}

/// Returns what a change means for servers of python-socketio, which do not understand it. For servers of ours it changes
/// nothing more.
fn about_one(clients: &Selection, change: &Change) -> Vec<Message> {
    let namespace = || clients.namespace.clone();
    let Some(room) = single(clients) else {
        return Vec::new();
    };
    let sid = Sid::from(room.as_str());
    match change {
        Change::Disconnect | Change::Close => vec![Message::Disconnect {
            sid,
            namespace: namespace(),
        }],
        Change::Join(rooms) => {
            let enter = |room: &Room| Message::EnterRoom {
                sid: sid.clone(),
                room: room.clone(),
                namespace: namespace(),
            };
            rooms.iter().map(enter).collect()
        }
        Change::Leave(rooms) if rooms.as_slice() == [room.clone()] => vec![Message::CloseRoom {
            room: room.clone(),
            namespace: namespace(),
        }],
        Change::Leave(rooms) => {
            let leave = |room: &Room| Message::LeaveRoom {
                sid: sid.clone(),
                room: room.clone(),
                namespace: namespace(),
            };
            rooms.iter().map(leave).collect()
        }
    }
}

/// Returns the only room of a selection without exceptions; it may be that of a single client.
fn single(clients: &Selection) -> Option<&Room> {
    let Target::Rooms(rooms) = &clients.target else {
        return None;
    };
    let has_exceptions = !clients.skip.is_empty() || !clients.except.is_empty();
    match rooms.as_slice() {
        [room] if !has_exceptions && !room.is_number() => Some(room),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use manager_api::message::Emit;
    use manager_api::{EventName, NamespaceName, Payload};

    use super::*;

    fn members(rooms: &[&str], change: Change) -> Message {
        Message::Members {
            clients: Selection {
                namespace: NamespaceName::root(),
                target: Target::Rooms(rooms.iter().copied().map(Room::from).collect()),
                skip: Vec::new(),
                except: Vec::new(),
            },
            change,
        }
    }

    fn methods(message: Message, is_python: bool) -> Vec<&'static str> {
        carried(message, is_python).iter().map(Message::method).collect()
    }

    #[test]
    fn a_change_of_one_client_is_also_told_to_servers_of_python_socketio() {
        let join = || Change::Join(vec!["a".into(), "b".into()]);
        assert_eq!(methods(members(&["id"], join()), false), ["sio_members"]);
        assert_eq!(
            methods(members(&["id"], join()), true),
            ["sio_members", "enter_room", "enter_room"]
        );
        for (change, expected) in [
            (Change::Disconnect, "disconnect"),
            (Change::Close, "disconnect"),
            (Change::Leave(vec!["a".into()]), "leave_room"),
            (Change::Leave(vec!["id".into()]), "close_room"),
        ] {
            assert_eq!(
                methods(members(&["id"], change.clone()), true),
                ["sio_members", expected]
            );
            assert_eq!(methods(members(&["one", "two"], change), true), ["sio_members"]);
        }
    }

    #[test]
    fn a_message_of_which_a_part_was_not_published_has_not_arrived() {
        let failure = |kind| Err(Error::new(kind, "on command"));
        assert!(outcome(vec![Ok(()), Ok(())]).is_ok());
        let unsent = outcome(vec![failure(ErrorKind::Connect), Ok(())]).unwrap_err();
        assert!(unsent.kind() == ErrorKind::Connect && !unsent.may_have_been_published());
        for kind in [ErrorKind::Connect, ErrorKind::Busy, ErrorKind::Config] {
            let part = outcome(vec![Ok(()), Ok(()), failure(kind)]).unwrap_err();
            assert!(part.may_have_been_published(), "{part}");
        }
    }

    #[test]
    fn an_excluded_client_is_excluded_on_servers_of_python_socketio() {
        let mut emit = Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), Payload::empty());
        emit.except = vec!["id".into(), 7.into()];
        let skipped = |is_python| match carried(Message::Emit(emit.clone()), is_python).remove(0) {
            Message::Emit(emit) => (emit.skip, emit.except),
            other => panic!("{other:?}"),
        };
        assert_eq!(skipped(true), (vec!["id".into()], emit.except.clone()));
        assert_eq!(skipped(false), (Vec::new(), emit.except.clone()));
    }
}
