//! The queue of a subscription: its declaration, binding, consumption, and removal.

use std::time::Duration;

use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::binding::{bind, route_fence};
use super::{AmqpListener, End, QueueConnection};
use manager_api::log::quietly;

use crate::config::QueueKind;
use crate::connect::Link;
use crate::error::{During, Step, Thing, Trouble};

/// The limit for leaving the broker, the removal of the queue included.
pub(crate) const LEAVE: Duration = Duration::from_secs(2);

impl AmqpListener {
    /// Connects and consumes the queue, which is declared and bound first where it is new. An existing queue is
    /// bound again only after a proof (`binding.rs`), since afterwards a missing binding could not be found.
    pub(super) async fn try_open(&mut self) -> Result<QueueConnection, Trouble> {
        let link = self.connector.connect("listen").await?;
        self.was_gone |= self.is_declared && self.was_open && !self.queue_exists(&link).await?;
        let channel = link.connection.create_channel().await?;
        if self.was_gone || !self.was_open {
            self.connector.declare_exchange(&channel).await?;
            self.declare_queue(&channel).await?;
            bind(&channel, &self.queue, self.connector.exchange()).await?;
        }
        route_fence(&channel, &self.queue).await?;
        let consumer = self.consume(&channel).await?;
        self.was_open = true;
        Ok(QueueConnection {
            link,
            channel,
            consumer,
            num_unacked: 0,
            last_tag: 0,
            is_resizing: false,
        })
    }

    /// Declares the queue; after a refusal the next attempt may declare another one.
    async fn declare_queue(&mut self, channel: &Channel) -> Result<(), Trouble> {
        let may_exist = std::mem::replace(&mut self.is_declared, true);
        let kind = self.kind;
        let options = QueueDeclareOptions {
            durable: matches!(kind, QueueKind::Durable | QueueKind::Quorum),
            exclusive: kind == QueueKind::Exclusive,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(self.queue.as_str().into(), options, self.arguments.clone());
        let declared = declared
            .await
            .during(|| Step::Declare(Thing::Queue(self.queue.clone())));
        if declared.as_ref().is_err_and(Trouble::is_not_found) {
            // It is on a node of the RabbitMQ cluster that is down, from which it returns too late.
            self.rename_queue();
        }
        if self.falls_back && declared.as_ref().is_err_and(Trouble::is_unsupported) {
            (self.kind, self.falls_back) = (QueueKind::Durable, false);
            if may_exist {
                // Another node of the RabbitMQ cluster may have it as it was declared before.
                self.rename_queue();
            }
        }
        declared.map(drop)
    }

    /// Chooses a new name for the queue.
    fn rename_queue(&mut self) {
        self.num_moves += 1;
        self.queue = format!("{}.moved{}", self.first_queue, self.num_moves);
    }

    /// Starts a consumer with the current window.
    async fn consume(&self, channel: &Channel) -> Result<Consumer, Trouble> {
        let ahead = self.window.current();
        channel.basic_qos(ahead, BasicQosOptions::default()).await?;
        let queue = self.queue.as_str().into();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(queue, "".into(), options, arguments);
        consuming.await.during(|| Step::Consume(self.queue.clone()))
    }

    /// Ends the consumer, so that the broker sends nothing more until it has the new window. Messages in flight
    /// still arrive.
    pub(super) async fn end_consumer(&self, connection: &mut QueueConnection) -> Result<(), End> {
        if std::mem::replace(&mut connection.is_resizing, true) {
            return Ok(());
        }
        let canceled = connection
            .channel
            .basic_cancel(connection.consumer.tag(), BasicCancelOptions::default());
        self.connector.within_timeout(canceled).await.map_err(End::Lost)
    }

    /// Consumes again where the ended consumer stopped.
    pub(super) async fn consume_again(&self, connection: &mut QueueConnection) -> Result<(), End> {
        self.acknowledge(connection).await?;
        let consuming = self.consume(&connection.channel);
        connection.consumer = self.connector.within_timeout(consuming).await.map_err(End::Lost)?;
        connection.is_resizing = false;
        Ok(())
    }

    /// Returns whether the queue exists. Uses a channel of its own, which the broker closes if it does not.
    async fn queue_exists(&self, link: &Link) -> Result<bool, Trouble> {
        let channel = link.connection.create_channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default());
        let asked = asked.await.during(|| Step::Declare(Thing::Queue(self.queue.clone())));
        match asked {
            Ok(_) => Ok(channel.close(200, "bye".into()).await.map(|()| true)?),
            Err(trouble) if trouble.is_not_found() => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Removes the queue, on the connection that is open or on a new one.
    pub(super) async fn remove_queue(&self, open: Option<QueueConnection>) {
        if !self.is_declared {
            return;
        }
        let removed = async {
            let link = match open {
                Some(open) if open.link.connection.status().connected() => open.link,
                _ => self.connector.connect("listen").await?,
            };
            let channel = link.connection.create_channel().await?;
            let options = QueueDeleteOptions::default();
            channel.queue_delete(self.queue.as_str().into(), options).await?;
            link.close(LEAVE).await;
            Ok::<_, Trouble>(())
        };
        if !matches!(timeout(LEAVE, removed).await, Ok(Ok(()))) {
            quietly(
                || tracing::debug!(target: "manager_amqp", queue = self.queue, "the queue was not removed and will expire"),
            );
        }
    }
}
