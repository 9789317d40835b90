//! `sio disconnect`, `enter-room`, `leave-room`, `close-room`: for clients on whichever server.

use crate::failure::Failure;
use crate::plan::{Action, ControlPlan};

pub(super) async fn run(plan: ControlPlan) -> Result<(), Failure> {
    let backend = plan.broker.backend()?;
    let emitter = backend.emitter();
    let clients = emitter.of(&plan.namespace);
    let (attempt, accepted) = match plan.action {
        Action::Disconnect(sid) => ("disconnect the client", clients.disconnect(sid)),
        Action::Enter(sid, room) => ("put the client into the room", clients.enter_room(sid, room)),
        Action::Leave(sid, room) => ("take the client out of the room", clients.leave_room(sid, room)),
        Action::Close(room) => ("close the room", clients.close_room(room)),
    };
    accepted.await.map_err(|error| backend.failure(attempt, error))?;
    super::emit::close(&emitter).await;
    Ok(())
}
