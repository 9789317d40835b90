//! The notices of a server that a subscription has begun or ended: replies to commands, or sent by itself.
//!
//! In the older protocol a notice is a list of three, in the newer one a push of its own kind:
//!
//! ```text
//! *3 $10 ssubscribe $4 name :1
//! >3 $12 sunsubscribe $4 name :0
//! ```

use redis::{PushKind, Value};

use crate::hello::{elements, text};

/// Returns the kind and the name of a notice that a subscription has begun or ended.
pub(super) fn notice(reply: &Value) -> Option<(&[u8], &[u8])> {
    let (kind, name) = match reply {
        Value::Push { kind, data } => (kind_of(kind)?, data.first()?),
        other => {
            let [kind, name, _] = elements(other) else {
                return None;
            };
            (text(kind)?, name)
        }
    };
    let is_notice = kind.ends_with(b"subscribe");
    is_notice.then(|| text(name).map(|name| (kind, name)))?
}

/// Returns the kind of a push as the older protocol names it.
fn kind_of(kind: &PushKind) -> Option<&'static [u8]> {
    Some(match kind {
        PushKind::Subscribe => b"subscribe",
        PushKind::PSubscribe => b"psubscribe",
        PushKind::SSubscribe => b"ssubscribe",
        PushKind::Unsubscribe => b"unsubscribe",
        PushKind::PUnsubscribe => b"punsubscribe",
        PushKind::SUnsubscribe => b"sunsubscribe",
        _ => return None,
    })
}
