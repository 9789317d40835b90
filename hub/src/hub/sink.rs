//! The [`Sink`] of a hub: events, commands and requests of this host.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use manager_api::ack::AckStream;
use manager_api::broadcast::{Scope, Sink};
use manager_api::cluster::{Change, RequestKind, ResponsePart, Responses, Selection, left_until};
use manager_api::message::{Emit, Message};
use manager_api::wire::DecodeLimits;
use manager_api::{Error, deadline};

use super::parts::{recipients_in_parts, rooms_in_parts, sockets_in_parts};
use super::{Hub, sids};
use crate::deliver::Deliver;

impl<D: Deliver> Sink for Hub<D> {
    fn check(&self, emit: &Emit) -> Result<(), Error> {
        self.deliver.check(emit)?;
        match &self.messenger {
            Some(messenger) => messenger.check_key(emit),
            None => Ok(()),
        }
    }

    fn emit(self: Arc<Self>, emit: Emit, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            let (recipients, _) = self.first_recipients(&emit).await;
            if !recipients.is_empty() {
                self.deliver_local(&emit, &recipients, None).await;
            }
            match scope {
                Scope::Local => Ok(()),
                Scope::Cluster => self.publish(Message::Emit(emit)).await,
            }
        }
        .boxed()
    }

    fn emit_with_ack(self: Arc<Self>, emit: Emit, scope: Scope, timeout: Duration) -> BoxFuture<'static, AckStream> {
        async move {
            let (recipients, _) = self.first_recipients(&emit).await;
            self.emit_expecting(emit, &recipients, scope, deadline::after(timeout))
                .await
        }
        .boxed()
    }

    fn emit_with_report(
        self: Arc<Self>,
        mut emit: Emit,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<(AckStream, Responses), Error>> {
        async move {
            let others = scope == Scope::Cluster && self.messenger.is_some();
            let deadline = deadline::after(timeout);
            let servers = self.servers_in_time(others, &emit.namespace, deadline).await?;
            let (request, mut responses) = self.requester.open(servers, deadline).await?;
            let (recipients, _) = self.first_recipients(&emit).await;
            for part in recipients_in_parts(sids(&recipients, usize::MAX).await) {
                responses.add_own(self.host_id.clone(), part, false);
            }
            emit.report = Some(request);
            let acks = self.emit_expecting(emit, &recipients, scope, deadline).await;
            Ok((acks, responses))
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
            let others = scope == Scope::Cluster && self.messenger.is_some();
            let deadline = deadline::after(timeout);
            let servers = self.servers_in_time(others, &emit.namespace, deadline).await?;
            let (request, mut responses) = self.requester.open(servers, deadline).await?;
            let (recipients, num_before) = self.first_recipients(&emit).await;
            let num_taken = match recipients.is_empty() {
                true => num_before,
                false => self.deliver_local(&emit, &recipients, None).await,
            };
            responses.add_own(self.host_id.clone(), ResponsePart::Count(num_taken), false);
            if others {
                emit.receipt = Some(request);
                emit.ack_timeout = Some(left_until(deadline));
                self.within(deadline, self.publish(Message::Emit(emit))).await?;
            }
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
            let (parts, is_truncated) = match &kind {
                RequestKind::Servers => (vec![self.present()], false),
                RequestKind::Rooms {
                    namespace,
                    prefix,
                    limit,
                } => {
                    let (rooms, is_truncated) = self.local_rooms(namespace, prefix, *limit).await;
                    (rooms_in_parts(rooms).collect(), is_truncated)
                }
                RequestKind::Count { clients } => (vec![ResponsePart::Count(self.count_local(clients).await)], false),
                RequestKind::Sockets { clients, limit } => {
                    let (sockets, is_truncated) = self.local_sockets(clients, *limit).await;
                    (sockets_in_parts(sockets).collect(), is_truncated)
                }
                // Events for servers go to the other servers only, as in Node.
                RequestKind::Event { .. } => (Vec::new(), false),
            };
            let servers = self
                .servers_in_time(scope == Scope::Cluster, &kind.namespace(), deadline)
                .await?;
            let mut responses = match servers {
                Some(servers) => {
                    let (request, responses) = self.requester.prepare(servers, kind, deadline).await?;
                    if let Some(request) = request {
                        self.within(deadline, self.publish(request)).await?;
                    }
                    responses
                }
                None => self.requester.open(None, deadline).await?.1,
            };
            for part in parts {
                responses.add_own(self.host_id.clone(), part, is_truncated);
            }
            Ok(responses)
        }
        .boxed()
    }

    fn change(
        self: Arc<Self>,
        clients: Selection,
        change: Change,
        scope: Scope,
    ) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            self.change_members(&clients, &change).await;
            match scope {
                Scope::Local => Ok(()),
                Scope::Cluster => self.publish(Message::Members { clients, change }).await,
            }
        }
        .boxed()
    }

    fn max_sockets(&self) -> usize {
        self.options.max_sockets
    }

    fn max_sockets_bytes(&self) -> usize {
        self.options.max_sockets_bytes
    }

    fn message_limits(&self) -> DecodeLimits {
        self.options.decode_limits()
    }

    fn command(self: Arc<Self>, message: Message, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            if self.command_local(&message).await? || scope == Scope::Local {
                Ok(())
            } else {
                self.publish(message).await
            }
        }
        .boxed()
    }
}
