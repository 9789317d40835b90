//! The [`Sink`] of an emitter: the broker alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Shared;
use crate::ack::AckStream;
use crate::broadcast::{Scope, Sink};
use crate::cluster::{Change, RequestKind, Responses, Selection, left_until};
use crate::message::{Emit, Message};
use crate::{Error, deadline};

impl Sink for Shared {
    fn check(&self, emit: &Emit) -> Result<(), Error> {
        emit.payload.check_for_json()?;
        self.messenger.check_key(emit)
    }

    fn emit(self: Arc<Self>, emit: Emit, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        match scope {
            Scope::Cluster => self.publish(Message::Emit(emit)),
            Scope::Local => std::future::ready(Ok(())).boxed(),
        }
    }

    fn emit_with_ack(self: Arc<Self>, emit: Emit, scope: Scope, timeout: Duration) -> BoxFuture<'static, AckStream> {
        async move { self.emit_expecting(emit, scope, deadline::after(timeout)).await }.boxed()
    }

    fn emit_with_report(
        self: Arc<Self>,
        mut emit: Emit,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<(AckStream, Responses), Error>> {
        async move {
            let deadline = deadline::after(timeout);
            let servers = match scope {
                Scope::Cluster => Some(self.servers_in_time(&emit.namespace, deadline).await?),
                Scope::Local => None,
            };
            let (request, responses) = self.requester.open(servers, deadline).await?;
            emit.report = Some(request);
            Ok((self.emit_expecting(emit, scope, deadline).await, responses))
        }
        .boxed()
    }

    fn emit_with_receipt(
        self: Arc<Self>,
        mut emit: Emit,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Responses, Error>> {
        async move {
            let deadline = deadline::after(timeout);
            if scope == Scope::Local {
                // An emitter has no clients.
                return Ok(self.requester.open(None, deadline).await?.1);
            }
            let servers = self.servers_in_time(&emit.namespace, deadline).await?;
            if servers.has_no_subscriber() {
                return Ok(self.requester.open(None, deadline).await?.1);
            }
            let (request, responses) = self.requester.open(Some(servers), deadline).await?;
            emit.receipt = Some(request);
            emit.ack_timeout = Some(left_until(deadline));
            self.within(deadline, self.publish(Message::Emit(emit))).await?;
            Ok(responses)
        }
        .boxed()
    }

    fn request(
        self: Arc<Self>,
        kind: RequestKind,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Responses, Error>> {
        async move {
            let deadline = deadline::after(timeout);
            match scope {
                Scope::Cluster => {
                    let servers = self.servers_in_time(&kind.namespace(), deadline).await?;
                    let (request, responses) = self.requester.prepare(servers, kind, deadline).await?;
                    if let Some(request) = request {
                        self.within(deadline, self.publish(request)).await?;
                    }
                    Ok(responses)
                }
                // An emitter has no clients.
                Scope::Local => Ok(self.requester.open(None, deadline).await?.1),
            }
        }
        .boxed()
    }

    fn change(
        self: Arc<Self>,
        clients: Selection,
        change: Change,
        scope: Scope,
    ) -> BoxFuture<'static, Result<(), Error>> {
        match scope {
            Scope::Cluster => self.publish(Message::Members { clients, change }),
            Scope::Local => std::future::ready(Ok(())).boxed(),
        }
    }

    fn max_sockets(&self) -> usize {
        self.requester.limits.max_sockets
    }

    fn command(self: Arc<Self>, message: Message, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        match scope {
            Scope::Cluster => self.publish(message),
            Scope::Local => std::future::ready(Ok(())).boxed(),
        }
    }
}
